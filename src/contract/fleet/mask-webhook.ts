/** Addresses of webhooks often hold a token: only where they lead to is shown. */
export function maskWebhook(address: string): string {
  const url = new URL(address);
  const more = url.search !== "" || url.username !== "" || url.pathname.split("/").length > 2;
  return `${url.origin}/${url.pathname.split("/")[1] ?? ""}${more ? "/***" : ""}`;
}
