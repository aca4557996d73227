import { isLoopback } from "../options.ts";

/**
 * A browser that shows some web page can reach loopback too. Two headers that such a page cannot choose tell it apart:
 * `Host` (DNS rebinding) and `Origin` (a request from another site). Gives the reason to refuse.
 */
export function refusalOfRequest(request: {
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly listenAnywhere: boolean;
}): string | undefined {
  if (request.listenAnywhere) return undefined;
  const hostname = hostnameOf(`http://${request.host ?? ""}`);
  if (hostname === undefined || !isLoopback(hostname)) {
    return `Host: "${request.host ?? ""}" is not loopback; start with --listen-anywhere to be reached by another name`;
  }
  if (request.origin === undefined) return undefined;
  const originHost = hostnameOf(request.origin);
  if (originHost === undefined || !isLoopback(originHost)) return `Origin: requests of ${request.origin} are refused`;
  return undefined;
}

function hostnameOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}
