import { connect, type Socket } from "node:net";
import { connect as connectTls, createSecureContext, TLSSocket } from "node:tls";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { LANE_READY, lanePreface } from "../contract/remote/lane-preface.ts";

/** Of TLS on a lane. One suite, so that nothing is chosen by whoever stands in between. */
const SUITE = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256" } as const;
const IDENTITY = "sluice-lane";

/**
 * Resolves with a connection to the router's own port on which the other end is there, too. Rejects with `unavailable`, and
 * with `unsupported` where there is no such thing at this address, whoever the other end is.
 */
export function dialLane(
  { url, token, limitMs }: { readonly url: string; readonly token: string; readonly limitMs: number },
  { clock }: { readonly clock: Pick<Clock, "timer"> },
): { readonly socket: Socket; readonly ready: Promise<Socket> } {
  const { protocol, hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  const socket = connect({
    host,
    port: port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
    noDelay: true,
  });
  const ready = new Promise<Socket>((resolve, reject) => {
    let first: Buffer = Buffer.alloc(0);
    let isConnected = false;
    const done = () => {
      limit.clear();
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.off("close", onEnd);
    };
    const fail = (reason: string, code: "unavailable" | "unsupported" = "unavailable") => {
      done();
      socket.destroy();
      reject(new AppError(code, `no lane at the router ${url}: ${reason}`));
    };
    const onData = (bytes: Buffer) => {
      first = Buffer.concat([first, bytes]);
      const known = Math.min(first.length, LANE_READY.length);
      if (!LANE_READY.subarray(0, known).equals(first.subarray(0, known)))
        return fail("it knows of none", "unsupported");
      if (first.length < LANE_READY.length) return;
      done();
      socket.pause();
      if (first.length > LANE_READY.length) socket.unshift(first.subarray(LANE_READY.length));
      resolve(socket);
    };
    const onEnd = () => fail("it ended the connection");
    const limit = clock.timer(limitMs, () => fail(`nobody came within ${limitMs / 1000} s`));
    socket.on("error", (thrown) => fail(messageOf(thrown), isConnected ? "unavailable" : "unsupported"));
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("close", onEnd);
    socket.once("connect", () => {
      isConnected = true;
      socket.write(lanePreface(token));
    });
  });
  // Whoever asks hears of it.
  ready.catch(() => undefined);
  return { socket, ready };
}

/** Resolves when the other end has shown that it has the same key. Rejects with `unavailable`: it has not, or does not answer. */
export function sealLane(
  socket: Socket,
  { key, side, limitMs }: { readonly key: Uint8Array; readonly side: "operator" | "box"; readonly limitMs: number },
  { clock }: { readonly clock: Pick<Clock, "timer"> },
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const sealed = side === "operator" ? openAsClient(socket, key) : openAsServer(socket, key);
    const done = () => {
      limit.clear();
      sealed.off("close", onClose);
    };
    const fail = (reason: string) => {
      done();
      sealed.destroy();
      socket.destroy();
      reject(new AppError("unavailable", `no lane: ${reason}`));
    };
    const onClose = () => fail("the other end has left");
    const limit = clock.timer(limitMs, () => fail(`no answer within ${limitMs / 1000} s`));
    sealed.on("error", (thrown) => fail(messageOf(thrown)));
    sealed.on("close", onClose);
    sealed.once(side === "operator" ? "secureConnect" : "secure", () => {
      // Whoever shows a certificate has not shown the key, and would be believed for it by a client of TLS.
      if (!hasUsedKey(sealed, side)) return fail("what answered does not have the key");
      done();
      resolve(sealed);
    });
  });
}

function openAsClient(socket: Socket, psk: Uint8Array): TLSSocket {
  return connectTls({
    socket,
    ...SUITE,
    ca: [],
    pskCallback: () => ({ psk, identity: IDENTITY }),
    // The key says who it is; there is no name.
    checkServerIdentity: () => undefined,
  });
}

function openAsServer(socket: Socket, psk: Uint8Array): TLSSocket {
  const options = {
    isServer: true,
    // Without a certificate: whoever does not have the key cannot agree on anything.
    secureContext: createSecureContext(SUITE),
    pskCallback: (_socket: TLSSocket, identity: string) => (identity === IDENTITY ? psk : null),
  };
  return new TLSSocket(socket, options);
}

function hasUsedKey(sealed: TLSSocket, side: "operator" | "box"): boolean {
  if (sealed.getProtocol() !== "TLSv1.3") return false;
  if (side === "box") return true;
  return sealed.isSessionReused() && Object.keys(sealed.getPeerCertificate()).length === 0;
}
