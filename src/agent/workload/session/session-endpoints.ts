import { formatPoint } from "../../../contract/describe-spec.ts";
import type { SessionPort } from "../../../contract/session-spec.ts";
import type { SessionEndpoint } from "../../../contract/session-status.ts";
import type { RunEndpoint } from "../../runtime/run-handle.ts";

const WILDCARDS: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

export interface UrlHosts {
  /** Name of this box; absent: the address that the port is on. */
  readonly urlHost: string | undefined;
  /** An address of this box that others reach, for ports that are on all of them. */
  readonly boxAddress: () => string | undefined;
}

/** What is told of where a session can be reached. Pure. */
export function toEndpoints(
  ports: readonly SessionPort[],
  placed: readonly RunEndpoint[],
  { urlHost, boxAddress }: UrlHosts,
): readonly SessionEndpoint[] {
  return placed.map(({ port, protocol, address, hostPort, isElsewhere }) => {
    const known = ports.find((one) => one.port === port && (one.protocol ?? "tcp") === protocol);
    const own = address in WILDCARDS ? (boxAddress() ?? WILDCARDS[address]) : address;
    const host = isElsewhere === true ? address : (urlHost ?? own ?? address);
    return {
      name: known?.name ?? String(port),
      url: `${known?.scheme ?? protocol}://${formatPoint(host, hostPort)}`,
      port,
      protocol,
      address,
      hostPort,
    };
  });
}

/** Where this box itself reaches what listens on an address. */
export function reachableFromHere(address: string): string {
  return WILDCARDS[address] ?? address;
}
