/**
 * Metadata with which a router answers, beside `UNAVAILABLE`, a good ticket that is for another router: its own name. Several routers are behind
 * one address, and the next connection to it may lead to the right one.
 */
export const OTHER_ROUTER_METADATA = "sluice-router";
