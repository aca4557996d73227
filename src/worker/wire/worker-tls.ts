import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect, createSecureContext, TLSSocket } from "node:tls";
import { fault } from "../fault.ts";

/** What a worker shows to others, PEM. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
}

/** Of the dialling end: no authority vouches for the other. Its certificate is the one that the hub names, or it is nobody. */
export function clientOptions(identity: Identity): ConnectionOptions {
  return { ...identity, minVersion: "TLSv1.3", rejectUnauthorized: false, checkServerIdentity: () => undefined };
}

/** The dialling end of TLS, over what is there already. */
export function startTlsClient(stream: Duplex, identity: Identity): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = connect({ socket: stream, ...clientOptions(identity) });
    // They stay: what goes wrong after that is heard by whoever listens then.
    secure.on("error", reject);
    secure.once("close", () => reject(fault("unreachable", "the peer left")));
    secure.once("secureConnect", () => resolve(secure));
  });
}

/** The dialled end of TLS. Any certificate is taken: what it may do is for tickets to say. */
export function startTlsServer(stream: Duplex, identity: Identity): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secureContext = createSecureContext({ ...identity, minVersion: "TLSv1.3" });
    const secure = new TLSSocket(stream, {
      isServer: true,
      secureContext,
      requestCert: true,
      rejectUnauthorized: false,
    });
    secure.on("error", reject);
    const onGone = () => reject(fault("unreachable", "the peer left"));
    secure.once("close", onGone);
    stream.once("close", onGone);
    secure.once("secure", () => resolve(secure));
  });
}

/** SHA-256 of the other side's certificate, lower-case hexadecimal; `undefined` where it has shown none. */
export function fingerprintOf(socket: TLSSocket): string | undefined {
  const { fingerprint256 } = socket.getPeerCertificate();
  return fingerprint256?.replaceAll(":", "").toLowerCase();
}
