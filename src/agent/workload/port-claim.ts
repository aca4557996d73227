import { createHash } from "node:crypto";
import { formatPoint } from "../../contract/describe-spec.ts";
import type { Claim } from "./driver.ts";

/** An address and port on which only one may listen, whatever kind of workload it is. */
export function portClaim(protocol: "tcp" | "udp", address: string, port: number): Claim {
  const label = `${protocol} ${formatPoint(address, port)}`;
  return { key: `port:${shortHash(label)}`, kind: "port", label, isExclusive: true };
}

export function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}
