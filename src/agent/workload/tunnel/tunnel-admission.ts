import { X509Certificate } from "node:crypto";
import { MASK } from "../../../base/redact.ts";
import { formatPoint } from "../../../contract/describe-spec.ts";
import type { TunnelLeg, TunnelSpec } from "../../../contract/tunnel-spec.ts";
import type { Refusal } from "../driver.ts";
import { isHostMatch } from "../stream/stream-admission.ts";

export interface TunnelPolicy {
  /** Hosts that a producer's end may lead to; empty: any. `*.example.com` allows subdomains. */
  readonly tunnelSources: readonly string[];
}

/** Holds one end against the box's policy and against itself. Pure. Messages name the field, what was given and what is allowed. */
export function admitTunnel(spec: TunnelSpec, policy: TunnelPolicy): Refusal | undefined {
  return refuseLegs(spec) ?? refuseKeys(spec) ?? refuseSources(spec, policy);
}

function refuseLegs({ legs }: TunnelSpec): Refusal | undefined {
  const seen = new Map<string, number>();
  for (const [index, { listen }] of legs.entries()) {
    const point = formatPoint(listen.address, listen.port);
    const first = seen.get(point);
    if (first !== undefined) {
      return spec(`legs[${index}].listen: ${point} is that of legs[${first}] too; allowed: each leg its own`);
    }
    seen.set(point, index);
  }
  for (const [index, { connect }] of legs.entries()) {
    const own = legs.find((leg) => isSamePlace(leg, connect));
    if (own === undefined) continue;
    const point = formatPoint(connect.host, connect.port);
    return spec(`legs[${index}].connect: ${point} is where this end itself listens; allowed: another place`);
  }
  return undefined;
}

function isSamePlace({ listen }: TunnelLeg, { host, port }: TunnelLeg["connect"]): boolean {
  if (listen.port !== port) return false;
  return listen.address === host || (isLoopback(host) && (isLoopback(listen.address) || isAny(listen.address)));
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

function isAny(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

function refuseKeys({ security }: TunnelSpec): Refusal | undefined {
  if (security.kind === "cert") {
    const unread = security.peerCertificates.findIndex((pem) => !isCertificate(pem));
    if (unread >= 0) return spec(`security.peerCertificates[${unread}]: is no certificate; allowed: X.509 in PEM form`);
    if (security.nextKeyGeneration === undefined || security.nextKeyGeneration > security.keyGeneration)
      return undefined;
    return spec(
      `security.nextKeyGeneration: given ${security.nextKeyGeneration}; allowed: more than keyGeneration, which is ${security.keyGeneration}`,
    );
  }
  const masked = security.keys.findIndex(({ secret }) => secret === MASK);
  if (masked >= 0) return spec(`security.keys[${masked}].secret: given a mask; allowed: 64 hexadecimal digits`);
  const [one, other] = security.keys;
  if (one === undefined || one.identity !== other?.identity) return undefined;
  return spec("security.keys[1].identity: is that of keys[0] too; allowed: each key its own");
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).publicKey.type === "public";
  } catch {
    return false;
  }
}

function refuseSources({ role, legs }: TunnelSpec, { tunnelSources }: TunnelPolicy): Refusal | undefined {
  if (role !== "producer" || tunnelSources.length === 0) return undefined;
  const index = legs.findIndex(
    ({ connect }) => !tunnelSources.some((pattern) => isHostMatch(pattern, connect.host.toLowerCase())),
  );
  const host = legs[index]?.connect.host;
  if (host === undefined) return undefined;
  return {
    rule: "policy.tunnelSources",
    message: `legs[${index}].connect.host: ${host} is not allowed; allowed: ${tunnelSources.join(", ")}`,
  };
}

function spec(message: string): Refusal {
  return { rule: "spec", message };
}
