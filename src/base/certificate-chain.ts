import { connect, type DetailedPeerCertificate } from "node:tls";
import { AppError } from "./errors.ts";

export interface SeenCertificate {
  readonly pem: string;
  /** SHA-256 over the DER form, 64 lower-case hexadecimal digits. */
  readonly fingerprint: string;
  readonly subject: string;
}

const MAX_CHAIN = 10;

/**
 * The certificates that a server shows, its own first, without judging them: nothing is sent to it. For telling a person
 * whom he would trust, and for comparing with a fingerprint that came another way. Rejects with the system's error, or the
 * signal's reason.
 */
export function readCertificateChain(url: URL, signal: AbortSignal): Promise<readonly SeenCertificate[]> {
  return new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const socket = connect({
      host,
      port: url.port === "" ? 443 : Number(url.port),
      // Judged by whoever asked: the connection carries nothing.
      rejectUnauthorized: false,
      ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
    });
    const onAbort = () => socket.destroy(new AppError("cancelled", "interrupted"));
    socket.once("secureConnect", () => {
      resolve(toChain(socket.getPeerCertificate(true)));
      socket.destroy();
    });
    socket.once("error", (error) => reject(signal.aborted ? signal.reason : error));
    socket.once("close", () => signal.removeEventListener("abort", onAbort));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** `AB:CD:…`, `sha256:abcd…` and plain digits are the same fingerprint; undefined when it is none of SHA-256. */
export function parseFingerprint(text: string): string | undefined {
  const digits = text
    .trim()
    .replace(/^sha-?256[:=]/i, "")
    .replaceAll(":", "")
    .toLowerCase();
  return /^[0-9a-f]{64}$/.test(digits) ? digits : undefined;
}

/** A root names itself as its issuer: the walk ends there. */
function toChain(first: DetailedPeerCertificate): SeenCertificate[] {
  const chain: SeenCertificate[] = [];
  let current: DetailedPeerCertificate | undefined = first;
  while (current?.raw !== undefined && chain.length < MAX_CHAIN) {
    const fingerprint = current.fingerprint256.replaceAll(":", "").toLowerCase();
    if (chain.some((seen) => seen.fingerprint === fingerprint)) break;
    const name = current.subject.CN ?? current.subject.O ?? "";
    chain.push({ pem: toPem(current.raw), fingerprint, subject: Array.isArray(name) ? name.join(", ") : name });
    current = current.issuerCertificate;
  }
  return chain;
}

function toPem(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
