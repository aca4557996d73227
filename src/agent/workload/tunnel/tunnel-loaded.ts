import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import { specHash } from "../spec-hash.ts";
import { sha256Of, type TunnelKey } from "./tunnel-keys.ts";

/** What a running stunnel has read. */
export interface LoadedSecurity {
  /** Equal as long as nothing has to be read again. It holds no secret. */
  readonly print: string;
  /** SHA-256 of the own certificate, or the identity of the key. */
  readonly presents: string | undefined;
  readonly accepts: readonly string[];
}

export function loadedSecurity({ security, role }: TunnelSpec, keys: readonly TunnelKey[]): LoadedSecurity {
  if (security.kind === "cert") {
    const { keyGeneration, peerCertificates } = security;
    return {
      print: specHash({ keyGeneration, peerCertificates }),
      presents: keys.find(({ generation }) => generation === keyGeneration)?.sha256,
      accepts: peerCertificates.map(sha256Of),
    };
  }
  const identities = security.keys.map(({ identity }) => identity);
  return {
    print: specHash(security.keys),
    presents: identities[0],
    accepts: role === "producer" ? identities : identities.slice(0, 1),
  };
}
