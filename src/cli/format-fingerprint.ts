/** `sha256:AB:CD:…`, as certificates are usually shown. */
export function formatFingerprint(fingerprint: string): string {
  return `sha256:${(fingerprint.match(/../g) ?? []).join(":").toUpperCase()}`;
}
