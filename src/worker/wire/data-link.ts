import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { Clock, Timer } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { fault } from "../fault.ts";
import { type Reader, readInto } from "./big-reads.ts";
import {
  DATA_HEAD_BYTES,
  FRAME,
  FRAME_HEAD_BYTES,
  PIECE_BYTES,
  requireFrameHead,
  TAKEN_BYTES,
  takenFrame,
} from "./frames.ts";
import { createLinkWindow } from "./link-window.ts";

export interface Frame {
  readonly type: number;
  readonly body: Buffer;
  /** Its memory is used again: the body must not be looked at any more. */
  release(): void;
}

/** One connection between two workers. Never more than a few frames of what comes are held: the peer waits. */
export interface DataLink {
  /** `undefined`: the peer has ended. Rejects when the connection broke, and with `corrupt` for what is no frame. */
  next(): Promise<Frame | undefined>;
  /** Resolves when the bytes have left this process, and the buffer may be used again. */
  send(bytes: Buffer): Promise<void>;
  /**
   * Resolves when so many bytes of data frames may go: the peer has taken enough of those before. They count as sent then. One
   * at a time. Rejects when the connection ends.
   */
  room(bytes: number): Promise<void>;
  /** For what goes from now on the peer asked for so much under way. */
  hold(askedBytes: number): void;
  /** So many bytes of data frames need not come again whatever happens: the peer may send as many more. */
  took(bytes: number): void;
  /** This side itself holds things up until then: neither side takes the other for gone meanwhile. */
  waitFor(work: Promise<void>): Promise<void>;
  /** Both ways. */
  readonly moved: () => number;
  /** While nobody is expected to say anything. */
  rest(): void;
  wake(): void;
  close(reason?: Error): void;
  readonly isOpen: () => boolean;
  /** What is moved is encrypted and decrypted in this process, by its one thread. */
  readonly isSealed: boolean;
}

/** Nothing moves for this long: the peer is gone, or does not read. */
export const IDLE_MS = 30_000;
/** So often that is looked at, and a side that holds things up says that it is here. */
const LOOK_MS = IDLE_MS / 3;
/** One frame takes longer: the peer sends by the drop. */
const FRAME_MS = 120_000;
const QUEUED_BYTES = 4 * 1024 * 1024;
/** What is taken is told in steps of this, but at most so often; then in steps of twice as much. Any less is told after that time. */
const TOLD_BYTES = 1024 * 1024;
const TOLD_MS = 20;
const SMALL_BYTES = 64 * 1024;
/** Buffers that are kept for the next frame, over all connections. */
const KEPT = 32;
const WHOLE_BYTES = DATA_HEAD_BYTES + PIECE_BYTES;
const kept: Buffer[] = [];

/** `explain` says in words of ours what broke the connection. */
export function createDataLink(
  socket: Duplex,
  clock: Clock,
  explain: (error: Error) => Error = (error) => error,
): DataLink {
  const queue: Frame[] = [];
  let queuedBytes = 0;
  let moved = 0;
  let waiting: PromiseWithResolvers<Frame | undefined> | undefined;
  let over: { readonly reason: Error | undefined } | undefined;
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  let headBytes = 0;
  let body: Buffer | undefined;
  let bodyBytes = 0;
  let begunMs = 0;
  const window = createLinkWindow();
  /** Of data frames: taken here, and told of. */
  const here = { took: 0, told: 0 };
  let toldMs = Number.NEGATIVE_INFINITY;
  let telling: Timer | undefined;
  let heldUp = 0;
  let roomFor: (PromiseWithResolvers<void> & { readonly bytes: number }) | undefined;

  const widen = (taken: number) => {
    window.taken(taken, clock.monotonicMs());
    if (roomFor === undefined || !window.hasRoom(roomFor.bytes)) return;
    const { bytes, resolve } = roomFor;
    roomFor = undefined;
    window.sent(bytes);
    resolve();
  };
  const tell = () => {
    telling?.clear();
    telling = undefined;
    if (over !== undefined) return;
    toldMs = clock.monotonicMs();
    here.told = here.took;
    socket.write(takenFrame(here.took));
  };
  const finish = (reason: Error | undefined) => {
    if (over !== undefined) return;
    over = { reason };
    timer?.clear();
    timer = undefined;
    telling?.clear();
    telling = undefined;
    roomFor?.reject(reason ?? broken());
    roomFor = undefined;
    const waiter = waiting;
    waiting = undefined;
    if (waiter === undefined) return;
    if (reason === undefined) waiter.resolve(undefined);
    else waiter.reject(reason);
  };
  const fail = (reason: Error) => {
    finish(reason);
    socket.destroy();
  };
  const push = (type: number, bytes: Buffer) => {
    let isReleased = false;
    const frame: Frame = {
      type,
      body: bytes,
      release: () => {
        if (isReleased) return;
        isReleased = true;
        if (bytes.buffer.byteLength === WHOLE_BYTES && kept.length < KEPT) kept.push(bytes);
      },
    };
    if (waiting !== undefined) {
      const waiter = waiting;
      waiting = undefined;
      waiter.resolve(frame);
      return;
    }
    queue.push(frame);
    queuedBytes += bytes.length;
    if (queuedBytes > QUEUED_BYTES) socket.pause();
  };

  const take = (chunk: Buffer) => {
    moved += chunk.length;
    for (let at = 0; at < chunk.length; ) {
      if (body === undefined) {
        const count = Math.min(FRAME_HEAD_BYTES - headBytes, chunk.length - at);
        if (headBytes === 0) begunMs = clock.monotonicMs();
        chunk.copy(head, headBytes, at, at + count);
        headBytes += count;
        at += count;
        if (headBytes < FRAME_HEAD_BYTES) return;
        const length = head.readUInt32BE(1);
        requireFrameHead(head[0] ?? 0, length);
        body = takeBuffer(length);
        bodyBytes = 0;
      }
      const count = Math.min(body.length - bodyBytes, chunk.length - at);
      chunk.copy(body, bodyBytes, at, at + count);
      bodyBytes += count;
      at += count;
      if (bodyBytes < body.length) return;
      finishFrame(body);
    }
  };
  const finishFrame = (whole: Buffer) => {
    body = undefined;
    headBytes = 0;
    const type = head[0] ?? 0;
    if (type !== FRAME.taken) return push(type, whole);
    if (whole.length !== TAKEN_BYTES)
      throw fault("corrupt", `the peer says by ${whole.length} bytes what it has taken`);
    widen(Number(whole.readBigUInt64BE()));
  };

  let seen = { moved: 0, idleMs: 0 };
  let timer: Timer | undefined;
  const look = () => {
    timer = clock.timer(LOOK_MS, () => {
      const isDripping = (body !== undefined || headBytes > 0) && clock.monotonicMs() - begunMs > FRAME_MS;
      const idleMs = moved === seen.moved && heldUp === 0 ? seen.idleMs + LOOK_MS : 0;
      if (idleMs >= IDLE_MS || isDripping) {
        return fail(fault("unreachable", `the peer did not get on for ${IDLE_MS / 1000} s`));
      }
      seen = { moved, idleMs };
      // To whoever sends the data it is no news, and whoever takes it has sent none.
      if (heldUp > 0) tell();
      look();
    });
  };
  const watch = () => {
    seen = { moved, idleMs: 0 };
    look();
  };
  watch();

  const takeSafely = (chunk: Buffer) => {
    try {
      take(chunk);
    } catch (thrown) {
      fail(thrown instanceof Error ? thrown : new AppError("internal", String(thrown)));
    }
  };
  let scratch: Buffer | undefined;
  let intoBody: Buffer | undefined;
  const reader: Reader = {
    target: () => {
      // The rest of a long frame goes where it belongs; what is short comes together with others.
      intoBody = body !== undefined && body.length - bodyBytes >= SMALL_BYTES ? body.subarray(bodyBytes) : undefined;
      scratch ??= Buffer.from(new ArrayBuffer(SMALL_BYTES));
      return intoBody ?? scratch;
    },
    taken: (bytes, into) => {
      if (over !== undefined) return;
      if (into !== intoBody) return takeSafely(Buffer.from(into.buffer, into.byteOffset, bytes));
      moved += bytes;
      bodyBytes += bytes;
      if (body !== undefined && bodyBytes === body.length) finishFrame(body);
    },
  };
  if (readInto(socket, reader)) socket.resume();
  else socket.on("data", takeSafely);
  socket.on("error", (error: Error) => finish(explain(error)));
  socket.once("end", () => finish(body === undefined && headBytes === 0 ? undefined : broken()));
  socket.once("close", () => finish(broken()));

  return {
    next: () => {
      const frame = queue.shift();
      if (frame !== undefined) {
        queuedBytes -= frame.body.length;
        if (queuedBytes <= QUEUED_BYTES / 2 && socket.isPaused()) socket.resume();
        return Promise.resolve(frame);
      }
      if (over !== undefined) {
        return over.reason === undefined ? Promise.resolve(undefined) : Promise.reject(over.reason);
      }
      waiting ??= Promise.withResolvers();
      return waiting.promise;
    },
    send: (bytes) =>
      new Promise((resolve, reject) => {
        if (over !== undefined) return reject(over.reason ?? broken());
        socket.write(bytes, (error) => {
          moved += bytes.length;
          if (error) reject(over?.reason ?? error);
          else resolve();
        });
      }),
    room: (bytes) => {
      if (over !== undefined) return Promise.reject(over.reason ?? broken());
      if (window.hasRoom(bytes)) {
        window.sent(bytes);
        return Promise.resolve();
      }
      const waiter = { ...Promise.withResolvers<void>(), bytes };
      roomFor = waiter;
      return waiter.promise;
    },
    hold: (askedBytes) => window.hold(askedBytes, clock.monotonicMs()),
    took: (bytes) => {
      here.took += bytes;
      if (over !== undefined) return;
      // Over a far link all of the window is needed, and each step of it is told. A near one is quicker than that, and each is a packet that wakes the peer.
      const untold = here.took - here.told;
      const sinceMs = clock.monotonicMs() - toldMs;
      if (untold >= 2 * TOLD_BYTES || (untold >= TOLD_BYTES && sinceMs >= TOLD_MS)) return tell();
      // Nothing more may come before it is told.
      telling ??= clock.timer(TOLD_MS, tell);
    },
    waitFor: async (work) => {
      heldUp += 1;
      try {
        await work;
      } finally {
        heldUp -= 1;
      }
    },
    moved: () => moved,
    rest: () => {
      timer?.clear();
      timer = undefined;
    },
    wake: () => {
      if (timer === undefined && over === undefined) watch();
    },
    close: (reason) => {
      finish(reason ?? broken());
      socket.destroy();
    },
    isOpen: () => over === undefined,
    isSealed: socket instanceof TLSSocket,
  };
}

function broken(): Error {
  return fault("unreachable", "the connection to the peer broke");
}

/** New memory is slow the first time: that of whole pieces is used again. */
function takeBuffer(length: number): Buffer {
  if (length <= SMALL_BYTES || length > WHOLE_BYTES) return Buffer.allocUnsafe(length);
  const whole = kept.pop() ?? Buffer.from(new ArrayBuffer(WHOLE_BYTES));
  return Buffer.from(whole.buffer, 0, length);
}
