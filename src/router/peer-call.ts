import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from "node:http2";
import type { Clock, Timer } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import type { CallStream } from "../base/grpc/call-stream.ts";
import type { RouterAddress } from "../contract/remote/offer.ts";
import type { GrpcCall } from "./grpc-call.ts";
import type { Admitted } from "./join-call.ts";
import { WINDOW_BYTES, type WindowGrants } from "./window-grants.ts";

/** Names the router that hands a call on: who gets one does not hand it on again. It gives no right to anything. */
export const HANDED_ON_HEADER = "sluice-handed-on-by";

/** A call of `Join` that belongs to another router and passes here, byte for byte, with its answer. */
export interface HandedOn extends Admitted {
  /** Breaks it off for both. */
  cut(): void;
}

export interface PeerCallDeps {
  readonly clock: Clock;
  readonly windows: WindowGrants;
  readonly routerId: string;
  /** Nothing of it passes here any more. */
  readonly onOver: () => void;
}

const CONNECT_WITHIN_MS = 5000;
/** What waits here for a reader, before its sender is held. */
const HOLD_ABOVE_BYTES = 256 * 1024;
const RELEASE_BELOW_BYTES = 64 * 1024;
/** What is held for a reader this slow must not grow. */
const SHRINK_AFTER_MS = 1000;

/**
 * Brings a call to the router that its ticket is for. `message`: its first one, with its prefix. Each has a connection of its own, so that
 * one whose reader does not read holds up no other. Rejects with `unavailable` where that router cannot be reached: the ticket is still good.
 */
export async function handOn(
  { call, path, message }: { readonly call: GrpcCall; readonly path: string; readonly message: Uint8Array },
  peer: RouterAddress,
  deps: PeerCallDeps,
): Promise<HandedOn> {
  const { clock } = deps;
  const session = await open(peer, clock);
  const { protocol, host } = new URL(peer.url);
  const up = session.request({
    ":method": "POST",
    ":scheme": protocol.slice(0, -1),
    ":authority": host,
    ":path": path,
    "content-type": "application/grpc+proto",
    te: "trailers",
    [HANDED_ON_HEADER]: deps.routerId,
  });
  const down = call.stream;
  const windows = deps.windows.add({
    apply: (initialWindowSize, onAgreed) => {
      if (!session.destroyed && !session.closed) session.settings({ initialWindowSize }, onAgreed);
    },
    heldAbove: (bytes) => Math.max(0, up.readableLength - bytes),
  });
  windows.streams(1);
  let trailers: IncomingHttpHeaders = {};
  let isOver = false;

  up.write(message);
  const toPeer = pump(down, up, clock);
  const toClient = pump(up, down, clock);
  // A client that breaks a call off may close it first. The end of the answer comes with its trailers.
  down.once("end", () =>
    setImmediate(() => {
      if (isOver || down.aborted || down.rstCode !== constants.NGHTTP2_NO_ERROR) return;
      if (!up.destroyed && !up.writableEnded) up.end();
    }),
  );
  const over = (isCut: boolean) => {
    if (isOver) return;
    isOver = true;
    toPeer.stop();
    toClient.stop();
    windows.remove();
    const status = trailers["grpc-status"];
    if (isCut || status === undefined || up.rstCode !== constants.NGHTTP2_NO_ERROR) call.reset();
    else call.conclude({ "grpc-status": status, "grpc-message": trailers["grpc-message"] ?? "" });
    if (!up.closed) up.close(constants.NGHTTP2_CANCEL);
    session.close();
    deps.onOver();
  };
  up.on("response", (headers) => {
    if (headers["grpc-status"] !== undefined) trailers = headers;
    else if (headers[":status"] === 200) call.begin();
  });
  up.on("trailers", (headers) => {
    trailers = headers;
  });
  up.on("data", (chunk: Uint8Array) => windows.received(chunk.length, clock.monotonicMs()));
  up.on("error", () => undefined);
  up.once("close", () => over(false));
  // Whatever is wrong with the connection is told by the close of its one stream.
  session.on("error", () => undefined);
  return {
    relayed: () => undefined,
    done: () => undefined,
    lost: () => over(true),
    broke: () => over(true),
    cut: () => over(true),
    heldMs: toPeer.stalledMs,
    stalledMs: () => {
      const stalledMs = toClient.stalledMs();
      if (stalledMs >= SHRINK_AFTER_MS) windows.shrink();
      return stalledMs;
    },
  };
}

function open({ id, url, ca }: RouterAddress, clock: Clock): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const session = connect(url, {
      ...(ca === undefined ? {} : { ca }),
      settings: { initialWindowSize: WINDOW_BYTES.small, enablePush: false },
      ALPNProtocols: ["h2"],
    });
    let limit: Timer | undefined;
    const fail = (thrown: unknown) => {
      limit?.clear();
      session.destroy();
      const message = `the ticket is for the router ${id}, which cannot be reached: ${messageOf(thrown)}`;
      reject(new AppError("unavailable", message, { cause: thrown }));
    };
    limit = clock.timer(CONNECT_WITHIN_MS, () =>
      fail(new AppError("timeout", `no answer within ${CONNECT_WITHIN_MS / 1000} s`)),
    );
    session.once("error", fail);
    session.once("connect", () => {
      limit?.clear();
      session.off("error", fail);
      session.setLocalWindowSize(WINDOW_BYTES.large);
      resolve(session);
    });
  });
}

/** What one stream brings goes to the other as it comes; while that does not take it, the first is not read and its window closes. */
function pump(from: CallStream, to: CallStream, clock: Pick<Clock, "monotonicMs">) {
  let isStopped = false;
  let isHeld = false;
  let takenAtMs = 0;
  const onTaken = () => {
    if (!isHeld) return;
    takenAtMs = clock.monotonicMs();
    if (to.writableLength > RELEASE_BELOW_BYTES) return;
    isHeld = false;
    if (!isStopped) from.resume();
  };
  const onData = (chunk: Uint8Array) => {
    if (to.destroyed || to.writableEnded) return;
    to.write(chunk, onTaken);
    if (isHeld || to.writableLength < HOLD_ABOVE_BYTES) return;
    isHeld = true;
    takenAtMs = clock.monotonicMs();
    from.pause();
  };
  from.on("data", onData);
  from.resume();
  return {
    stop: () => {
      isStopped = true;
      from.off("data", onData);
    },
    stalledMs: () => (isHeld ? clock.monotonicMs() - takenAtMs : 0),
  };
}
