import { maskAddress } from "../../config/mask-address.ts";
import { type Check, fail, ok, warn } from "./check.ts";
import type { EndpointAnswer, EndpointProbe } from "./probe-endpoint.ts";

/** What one request for the event stream tells, stage by stage. Pure. */
export function judgeEndpoint(endpoint: string, probe: EndpointProbe): Check[] {
  const url = new URL(endpoint);
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  const checks: Check[] = [];

  if (probe.failedAt === "dns") {
    const advice = `Check the name in link.endpoint and the box's resolver (/etc/resolv.conf): getent hosts ${url.hostname}`;
    return [fail("endpoint: name", `${url.hostname} cannot be resolved: ${probe.error}`, advice)];
  }
  if (probe.address !== undefined) checks.push(ok("endpoint: name", `${url.hostname} is ${probe.address}`));

  if (probe.failedAt === "tcp") return [...checks, fail("endpoint: TCP", `${probe.error}`, adviceForTcp(probe, port))];
  checks.push(ok("endpoint: TCP", `port ${port} accepts connections`));

  if (probe.failedAt === "tls") return [...checks, fail("endpoint: TLS", `${probe.error}`, adviceForTls(probe))];
  if (url.protocol === "https:") checks.push(ok("endpoint: TLS", "the certificate is trusted"));

  if (probe.answer === undefined) {
    const advice = "Something listens there that is no HTTP server, or hangs up: check the port, and proxies between.";
    return [...checks, fail("endpoint: HTTP", `no answer: ${probe.error}`, advice)];
  }
  return [...checks, judgeAnswer(probe.answer)];
}

/** The box's clock against the server's, where the server told its time. */
export function judgeClockAgainst(answer: EndpointAnswer | undefined, nowMs: number): Check | undefined {
  if (answer?.serverMs === undefined) return undefined;
  const offSeconds = Math.round((nowMs - answer.serverMs) / 1000);
  if (Math.abs(offSeconds) <= 30) return ok("clock", "agrees with the endpoint's");
  const found = `is ${Math.abs(offSeconds)} s ${offSeconds > 0 ? "ahead of" : "behind"} the endpoint's`;
  return warn(
    "clock",
    found,
    "Certificates and deadlines depend on it: enable time synchronisation (timedatectl set-ntp true).",
  );
}

function judgeAnswer({ status, contentType, location }: EndpointAnswer): Check {
  const name = "endpoint: HTTP";
  const type = contentType?.split(";")[0]?.trim().toLowerCase();
  if (status === 200 && type === "text/event-stream") return ok(name, "200, an event stream");
  if (status === 200) {
    return fail(
      name,
      `200, but ${type ?? "nothing that says its type"} instead of text/event-stream`,
      "A log-in page of the network (captive portal), a proxy, or a wrong path: open the address with curl -iN and look.",
    );
  }
  if (status === 401 || status === 403) {
    return fail(
      name,
      `${status}: not allowed`,
      "The token is missing, wrong or revoked: check link.tokenFile or SLUICE_TOKEN.",
    );
  }
  if (status === 404 || status === 410) {
    return fail(
      name,
      `${status}: nothing there`,
      "Check the path of link.endpoint; a hub's is /v1/boxes/<box id>/events.",
    );
  }
  if (status >= 300 && status < 400) {
    const to = location === undefined ? "" : ` to ${maskAddress(location)}`;
    return warn(name, `${status}: redirected${to}`, "Put the final address into link.endpoint.");
  }
  if (status === 429 || status >= 500) {
    return warn(
      name,
      `${status}: the server cannot answer now`,
      "The agent keeps trying; look at the server's own log.",
    );
  }
  return fail(name, `${status}, not an event stream`, "Check link.endpoint: open it with curl -iN and look.");
}

function adviceForTcp({ errorCode }: EndpointProbe, port: string): string {
  if (errorCode === "ECONNREFUSED")
    return `Nothing listens on port ${port} there: check the port, and that the server runs.`;
  if (errorCode === "ENETUNREACH" || errorCode === "EHOSTUNREACH") {
    return "The box has no way there: check its cable, address and default route (ip route).";
  }
  return `No answer to the connection: a firewall on the way, or the host is down. Check that port ${port} may go out.`;
}

function adviceForTls({ errorCode }: EndpointProbe): string {
  switch (errorCode) {
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return "Check the box's clock first (date), then renew the server's certificate.";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "The certificate is for another name: use the name it was made for in link.endpoint.";
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      return "The authority is not trusted: put its certificate into a file and name it in link.caFile.";
    default:
      return "Is it an https port? http:// and https:// must match what the server speaks.";
  }
}
