/** What a hub answers about one box, below its base address. */
export type BoxPath = "events" | "report" | "key" | "segments" | `log-streams/${string}`;

/** Where a machine becomes a box. */
export const ENROL_PATH = "/v1/enrol";

/** `https://hub.example:8443` and `north-1` → `https://hub.example:8443/v1/boxes/north-1/events`. `hub` must be a URL. */
export function boxAddress(hub: string, boxId: string, path: BoxPath): string {
  return hubAddress(hub, `/v1/boxes/${encodeURIComponent(boxId)}/${path}`);
}

/** `path` begins with a slash. What the hub's own address holds in front of it stays. */
export function hubAddress(hub: string, path: string): string {
  const url = new URL(hub);
  url.pathname = `${url.pathname.replace(/\/+$/, "")}${path}`;
  url.search = "";
  url.hash = "";
  return url.href;
}

/** The hub and the box in the address of a box's event stream; `undefined` for an address of another form. */
export function hubOfEvents(endpoint: string): { readonly hub: string; readonly boxId: string } | undefined {
  if (!URL.canParse(endpoint)) return undefined;
  const url = new URL(endpoint);
  const [, prefix, boxId] = /^(.*)\/v1\/boxes\/([^/]+)\/events\/?$/.exec(url.pathname) ?? [];
  if (prefix === undefined || boxId === undefined) return undefined;
  url.pathname = prefix;
  url.search = "";
  url.hash = "";
  return { hub: url.href, boxId: decodeURIComponent(boxId) };
}

/** An address that names a server and nothing on it. */
export function isServerAddress(endpoint: string): boolean {
  if (!URL.canParse(endpoint)) return false;
  const { pathname, search } = new URL(endpoint);
  return pathname === "/" && search === "";
}
