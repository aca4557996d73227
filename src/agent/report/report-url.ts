/**
 * Where a hub that sends events at `endpoint` takes reports: `/v1/boxes/{box}/events` has a sibling `/report`. `undefined` for
 * any other address, which belongs to a server that knows nothing of reports.
 */
export function reportUrlFor(endpoint: string): string | undefined {
  if (!URL.canParse(endpoint)) return undefined;
  const url = new URL(endpoint);
  const base = /^(.*\/v1\/boxes\/[^/]+)\/events\/?$/.exec(url.pathname)?.[1];
  if (base === undefined) return undefined;
  url.pathname = `${base}/report`;
  url.search = "";
  url.hash = "";
  return url.href;
}
