import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Clock, Timer } from "../base/clock.ts";
import { BARE_PREFACE, BARE_PROTOCOL, type BareStream, createBareStream } from "../base/grpc/bare-stream.ts";
import { createSlabReader } from "../base/slab-reader.ts";

/** A connection to a router for one call, without HTTP/2. */
export interface BareLine {
  readonly socket: Socket;
  readonly stream: BareStream;
  /** Both ends are there, who hear of each other from now on: a router that is silent is none that is gone. */
  joined(): void;
}

export interface BareLineDeps {
  readonly clock: Clock;
  readonly toError: (thrown: unknown) => Error;
}

/** A router says something every 5 s while the other end is awaited. */
const SILENT_MS = 35_000;
const LOOK_MS = 5000;

/**
 * Resolves when there is a connection that the preface has gone out on; with `undefined` where the router has not agreed to a bare call in
 * the handshake of TLS. Without TLS it is heard of by the connection's end. Rejects with `toError`.
 */
export function dialBare(
  router: { readonly url: string; readonly ca: readonly string[] | undefined; readonly limitMs: number },
  { clock, toError }: BareLineDeps,
  signal: AbortSignal,
): Promise<BareLine | undefined> {
  return new Promise((resolve, reject) => {
    const { protocol, hostname, port } = new URL(router.url);
    const isTls = protocol === "https:";
    const host = hostname.replace(/^\[|\]$/g, "");
    const read = createSlabReader((bytes) => {
      heardMs = clock.monotonicMs();
      return stream?.push(bytes) ?? false;
    });
    let stream: BareStream | undefined;
    let heardMs = clock.monotonicMs();
    let watch: Timer | undefined;
    const place = { host, port: port === "" ? (isTls ? 443 : 80) : Number(port), onread: read };
    const socket: Socket = isTls
      ? connectTls({
          ...place,
          ALPNProtocols: [BARE_PROTOCOL, "h2"],
          ...(isIP(host) === 0 ? { servername: host } : {}),
          ...(router.ca === undefined ? {} : { ca: [...router.ca] }),
        })
      : connectPlain(place);
    socket.setNoDelay(true);

    const done = () => {
      limit.clear();
      signal.removeEventListener("abort", onAbort);
      socket.off("error", onError);
      socket.off("close", onClose);
    };
    const fail = (error: unknown) => {
      done();
      socket.on("error", () => undefined);
      socket.destroy();
      reject(error);
    };
    const onError = (thrown: Error) => fail(toError(thrown));
    const onClose = () => fail(toError(undefined));
    const onAbort = () => fail(signal.reason);
    const limit = clock.timer(router.limitMs, () =>
      fail(toError(new Error(`no answer within ${router.limitMs / 1000} s`))),
    );
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("error", onError);
    socket.on("close", onClose);
    const look = () => {
      watch = undefined;
      if (socket.destroyed) return;
      if (clock.monotonicMs() - heardMs >= SILENT_MS) socket.destroy();
      else watch = clock.timer(LOOK_MS, look);
    };
    socket.once(isTls ? "secureConnect" : "connect", () => {
      done();
      if (isTls && "alpnProtocol" in socket && socket.alpnProtocol !== BARE_PROTOCOL) {
        socket.on("error", () => undefined);
        socket.destroy();
        return resolve(undefined);
      }
      stream = createBareStream(socket, { isClient: true, isPushed: true });
      socket.once("close", () => watch?.clear());
      look();
      socket.write(BARE_PREFACE);
      resolve({ socket, stream, joined: () => watch?.clear() });
    });
  });
}
