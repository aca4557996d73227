import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import { NOBODY_CERTIFICATE } from "./nobody-certificate.ts";

/** The certificates that an end accepts, one after the other: the text of `TunnelFiles.peersPath`. */
export function acceptedCertificates({ security }: Pick<TunnelSpec, "security">): string {
  const accepted = security.kind === "cert" ? security.peerCertificates : [NOBODY_CERTIFICATE];
  return accepted.map((pem) => `${pem.trim()}\n`).join("");
}

/** The shared keys of an end, `identity:hex` a line: the text of `TunnelFiles.secretsPath`. Empty with certificates. */
export function sharedSecrets({ security }: Pick<TunnelSpec, "security">): string {
  return security.kind === "cert"
    ? ""
    : security.keys.map(({ identity, secret }) => `${identity}:${secret}\n`).join("");
}
