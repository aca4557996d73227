import { connect, type Socket } from "node:net";
import type { Clock, Timer } from "../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../base/errors.ts";
import { createSlabReader } from "../base/slab-reader.ts";
import type { Channel } from "../remote/channel.ts";
import { pour } from "../remote/pour.ts";
import type { Place } from "./resolve-target.ts";
import type { KeptChannel } from "./session-why.ts";

/** For all addresses of a name together. */
export const DIAL_MS = 5000;
/** Of one of several: the next may be better. */
const ONE_OF_MANY_MS = 1500;
/** One direction has ended and nothing moves in the other. */
export const HALF_OPEN_MS = 3_600_000;

/** A connection to a target, read in large pieces. */
export interface DialledSocket {
  readonly socket: Socket;
  /** Once. False: no more until the socket is resumed. */
  onBytes(take: (bytes: Buffer) => boolean): void;
}

/**
 * Connects to the first address that answers. Rejects with `unavailable` (refused, unreachable) or `timeout`; `not-found` and
 * `refused` are of whoever resolved the name.
 */
export async function dial(
  { host, port }: Place,
  addresses: readonly string[],
  { clock, untilMs }: { readonly clock: Clock; readonly untilMs: number },
): Promise<DialledSocket> {
  let failure: AppError | undefined;
  for (const [index, address] of addresses.entries()) {
    const leftMs = untilMs - clock.monotonicMs();
    if (leftMs <= 0) break;
    const isLast = index === addresses.length - 1;
    try {
      return await dialOne({ address, port }, isLast ? leftMs : Math.min(leftMs, ONE_OF_MANY_MS), clock);
    } catch (thrown) {
      const errno = errnoOf(thrown);
      const place = `${host.includes(":") ? `[${host}]` : host}:${port}`;
      failure = new AppError(errno === "ETIMEDOUT" ? "timeout" : "unavailable", `${place}: ${whyOf(errno, thrown)}`, {
        cause: thrown,
      });
    }
  }
  throw failure ?? new AppError("timeout", `${host}:${port}: it did not answer within ${DIAL_MS / 1000} s`);
}

function dialOne(
  { address, port }: { readonly address: string; readonly port: number },
  limitMs: number,
  clock: Clock,
): Promise<DialledSocket> {
  return new Promise((resolve, reject) => {
    const early: Buffer[] = [];
    let take = (bytes: Buffer): boolean => {
      early.push(bytes);
      return false;
    };
    const onBytes: DialledSocket["onBytes"] = (given) => {
      take = given;
      if (early.splice(0).every((bytes) => given(bytes))) socket.resume();
    };
    const socket = connect({
      host: address,
      port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      onread: createSlabReader((bytes) => take(bytes)),
    });
    const timer = clock.timer(limitMs, () => {
      socket.destroy(Object.assign(new AppError("timeout", "no answer"), { code: "ETIMEDOUT" }));
    });
    socket.once("connect", () => {
      timer.clear();
      socket.removeAllListeners("error");
      resolve({ socket, onBytes });
    });
    socket.once("error", (error) => {
      timer.clear();
      reject(error);
    });
  });
}

function whyOf(errno: string | undefined, thrown: unknown): string {
  switch (errno) {
    case "ECONNREFUSED":
      return "the connection was refused: nothing listens there";
    case "ETIMEDOUT":
      return `it did not answer within ${DIAL_MS / 1000} s`;
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return `it cannot be reached from the box (${errno})`;
    default:
      return messageOf(thrown);
  }
}

/**
 * Brings both directions together, each with its own end, until both have ended or one has failed. Gives how the target stands, for
 * whoever looks for what holds it up.
 */
export function joinSocket(
  channel: Channel,
  { socket, onBytes }: DialledSocket,
  clock: Clock,
): () => NonNullable<KeptChannel["target"]> {
  const [toSocket, fromSocket] = [channel.readable("in"), channel.writable("out")];
  let ended = 0;
  let movedMs = clock.monotonicMs();
  let saidMs: number | undefined;
  let timer: Timer | undefined;
  const look = () => {
    const leftMs = movedMs + HALF_OPEN_MS - clock.monotonicMs();
    if (leftMs > 0) timer = clock.timer(leftMs, look);
    else
      fail(
        new AppError(
          "timeout",
          `one direction has ended, and nothing came in the other for ${HALF_OPEN_MS / 60_000} min`,
        ),
      );
  };
  const half = () => {
    ended += 1;
    movedMs = clock.monotonicMs();
    timer?.clear();
    if (ended === 1) timer = clock.timer(HALF_OPEN_MS, look);
  };
  const fail = (error: AppError) => {
    channel.reset(error);
    socket.destroy();
  };

  onBytes((bytes) => {
    movedMs = clock.monotonicMs();
    saidMs = movedMs;
    return fromSocket.write(bytes);
  });
  fromSocket.on("drain", () => socket.resume());
  socket.once("end", () => {
    fromSocket.end();
    half();
  });
  // What nobody reads is thrown away, and the target may still be told the rest.
  fromSocket.once("stopped", () => socket.resume());
  pour(toSocket, socket, () => {
    movedMs = clock.monotonicMs();
  });
  toSocket.once("end", half);
  socket.on("error", (error) =>
    fail(new AppError("unavailable", `the target has broken the connection (${errnoOf(error) ?? messageOf(error)})`)),
  );
  void channel.closed.then(({ error }) => {
    timer?.clear();
    if (error !== undefined) socket.resetAndDestroy();
  });
  return () => ({
    bytes: Math.max(0, socket.bytesWritten - socket.writableLength),
    waitingBytes: socket.writableLength,
    saidBytes: socket.bytesRead,
    ...(saidMs === undefined ? {} : { quietMs: Math.round(clock.monotonicMs() - saidMs) }),
  });
}
