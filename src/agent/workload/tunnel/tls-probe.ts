import { type ConnectionOptions, connect } from "node:tls";
import type { Clock, Timer } from "../../../base/clock.ts";
import { errnoOf, messageOf } from "../../../base/errors.ts";

/**
 * How a TLS connection of our own ended. With TLS 1.3 a server judges the client's certificate after the client has
 * finished its handshake: `isShaken` alone proves nothing about being let in, and a refusal is an alert and nothing else.
 */
export interface TlsOutcome {
  /** The handshake is complete on our side. */
  readonly isShaken: boolean;
  /**
   * `alert`: the peer refused; `closed`: without a word; `bytes`: payload came; `held`: still open when the time was over
   * that `afterShakenMs` gives; `silent`: no handshake in time; `failed`: it could not be tried, or the peer speaks no TLS.
   */
  readonly end: "alert" | "closed" | "bytes" | "held" | "silent" | "failed";
  /** The alert or error, in words. */
  readonly detail: string;
  readonly protocol?: string;
  readonly cipher?: string;
  /** SHA-256 of the certificate that the peer showed. */
  readonly peerSha256?: string;
  /** Until the handshake was complete. */
  readonly shakenMs?: number;
}

export interface TlsProbe {
  readonly options: ConnectionOptions;
  /** For all of it. */
  readonly limitMs: number;
  /** How long a connection must stay open after the handshake to count as `held`, by the time the handshake took. */
  readonly afterShakenMs: (shakenMs: number) => number;
}

export interface ProbeDeps {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Opens one connection and watches how it ends; sends no payload. Rejects only with the signal's reason. */
export function probeTls(
  { options, limitMs, afterShakenMs }: TlsProbe,
  { clock, signal }: ProbeDeps,
): Promise<TlsOutcome> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const startMs = clock.monotonicMs();
    let shaken: Omit<TlsOutcome, "end" | "detail"> = { isShaken: false };
    let timer: Timer | undefined;
    const socket = open(options);
    if (typeof socket === "string") return resolve({ isShaken: false, end: "failed", detail: socket });

    const settle = (end: TlsOutcome["end"], detail: string) => {
      timer?.clear();
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve({ ...shaken, end, detail });
    };
    const onAbort = () => {
      timer?.clear();
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    timer = clock.timer(limitMs, () => settle("silent", `no handshake in ${limitMs} ms`));
    socket.once("secureConnect", () => {
      const shakenMs = clock.monotonicMs() - startMs;
      const fingerprint: string | undefined = socket.getPeerCertificate().fingerprint256;
      shaken = {
        isShaken: true,
        shakenMs,
        protocol: socket.getProtocol() ?? "",
        cipher: socket.getCipher().standardName,
        ...(fingerprint === undefined ? {} : { peerSha256: fingerprint.replaceAll(":", "").toLowerCase() }),
      };
      timer?.clear();
      const holdMs = afterShakenMs(shakenMs);
      timer = clock.timer(holdMs, () => settle("held", `held open for ${Math.round(holdMs)} ms`));
    });
    socket.once("data", () => settle("bytes", "payload came"));
    socket.once("error", (error) => {
      const words = alertOf(error);
      if (words !== undefined) settle("alert", words);
      else if (errnoOf(error) === "ECONNRESET") settle("closed", "reset without an alert");
      else settle("failed", reasonOf(error));
    });
    socket.once("close", () => settle("closed", "closed without an alert"));
  });
}

/** What OpenSSL cannot even offer (a cipher it does not have) it throws. */
function open(options: ConnectionOptions): ReturnType<typeof connect> | string {
  try {
    return connect({
      ...options,
      // The caller compares the fingerprint: no authority and no date has a say.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
  } catch (thrown) {
    return messageOf(thrown);
  }
}

/** `tlsv13 alert certificate required` for `ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED`. */
export function alertOf(error: unknown): string | undefined {
  const code = errnoOf(error) ?? "";
  if (!/^ERR_SSL_.*ALERT_/.test(code)) return undefined;
  return `alert: ${code
    .replace(/^.*ALERT_/, "")
    .replaceAll("_", " ")
    .toLowerCase()}`;
}

/** The reason out of OpenSSL's `…:SSL routines:tls_psk_do_binder:binder does not verify:…`. */
export function reasonOf(error: unknown): string {
  const message = messageOf(error);
  return alertOf(error) ?? /SSL routines:[^:]*:([^:]+)/.exec(message)?.[1] ?? message;
}
