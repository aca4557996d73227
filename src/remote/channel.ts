import type { Readable, Writable } from "node:stream";
import { AppError } from "../base/errors.ts";
import { type ExitFacts, fromExit, toExit } from "./exit-facts.ts";
import { type DataFrame, type FrameBody, PIPE_NAMES, type PipeName, pipeNameOf } from "./frame.ts";
import {
  creditBody,
  datagramBody,
  exitSeenBody,
  finBody,
  openedBody,
  refusedBody,
  resetBody,
  resizeBody,
  signalBody,
  stopBody,
} from "./frame-bodies.ts";
import { createPipeReader, type PipeReader } from "./pipe-reader.ts";
import { createPipeWriter, type PipeWriter } from "./pipe-writer.ts";
import { WINDOW_LIMITS, type WindowLedger } from "./receive-window.ts";
import { type ChannelVitals, channelVitals } from "./vitals.ts";

export type SessionSide = "operator" | "box";

/** One command, one connection or one association of a session. Its pipes are Node's streams. */
export interface Channel {
  readonly id: number;
  /** Of the operator's side. Rejects with the error that the box refused it with. */
  readonly opened: Promise<OpenedFacts>;
  /** Of the box's side: it is as was asked. */
  accept(facts?: Partial<OpenedFacts>): void;
  /** Of the box's side. The channel ends with it. */
  refuse(error: AppError): void;
  /**
   * What comes from the other end. Destroying it before its end tells the sender that nobody reads. The operator's side reads
   * `out` and `err`, the box's side `in`.
   */
  readable(pipe: PipeName): Readable;
  /** What goes to the other end; `end()` is a half-close. Emits `stopped` when nobody reads there any more. */
  writable(pipe: PipeName): Writable;
  /**
   * What has gone into an output that this side writes: only of channels that were opened for a command. Who reads hashes what it
   * has handed on, which is what its user has got.
   */
  digest(pipe: PipeName): { readonly total: number; readonly sha256: Uint8Array };
  /** Of the operator's side. */
  resize(size: { readonly cols: number; readonly rows: number }): void;
  /** Without SIG. */
  signal(name: string): void;
  /** Of the box's side: goes when everything that was written until now has gone. */
  exit(facts: ExitFacts): void;
  /** Of the operator's side: it has everything and has handed it on. The channel ends with it. */
  exitSeen(): void;
  /** False: it was dropped and counted, because there is no room for it, or no link. */
  sendDatagram(flow: number, bytes: Uint8Array): boolean;
  /** How its pipes stand at this moment. */
  vitals(): ChannelVitals;
  /** Once, in the same turn in which the channel was got. */
  on(handlers: ChannelHandlers): void;
  /** It has failed, with all its pipes. The other end is told. */
  reset(error: AppError): void;
  /** It is over: both directions have ended, or it was reset, or the session is over. */
  readonly closed: Promise<ChannelEnd>;
}

export interface OpenedFacts {
  readonly pid: number | undefined;
  /** Output that a detached command wrote and the box no longer has. */
  readonly droppedBytes: number;
}

export interface ChannelEnd {
  /** Absent: in order. */
  readonly error?: AppError;
  /** The box has said no: nothing was begun. */
  readonly isRefused?: boolean;
}

export interface ChannelHandlers {
  readonly onResize?: (size: { readonly cols: number; readonly rows: number }) => void;
  readonly onSignal?: (name: string) => void;
  readonly onExit?: (facts: ExitFacts) => void;
  readonly onExitSeen?: () => void;
  /** `droppedBefore`: how many of this direction were lost since the last one. */
  readonly onDatagram?: (flow: number, bytes: Uint8Array, droppedBefore: number) => void;
}

/** What a channel needs of its session. */
export interface ChannelLink {
  readonly ledger: WindowLedger;
  now(): { readonly nowMs: number; readonly rttMs: number };
  /** Goes before all bytes of pipes. */
  control(channel: number, body: FrameBody): void;
  /** False: there was no room. */
  datagram(channel: number, body: FrameBody): boolean;
  /** It has something to send. */
  ready(channel: SessionChannel): void;
  ended(channel: SessionChannel): void;
}

/** The session's own view of a channel. */
export interface SessionChannel extends Channel {
  readonly isReady: boolean;
  /** Something waits, and the other end lets no more come of it. */
  readonly isCreditShort: boolean;
  /** What goes next, with at most so many bytes; `undefined`: nothing can. */
  next(maxBytes: number): { readonly pipe: PipeName; readonly bytes: Uint8Array } | FrameBody | undefined;
  /** Throws `invalid`: the other end does not keep to the contract, and the channel is to be reset. */
  receive(body: FrameBody): void;
  receiveData(frame: DataFrame): void;
  /** It was opened, and the other end has this much room. */
  grantAll(upTo: number): void;
  fail(error: AppError): void;
}

export interface ChannelOptions {
  readonly id: number;
  /** A command's output is hashed as it goes. */
  readonly hasDigest: boolean;
  /** Pipes that this side reads and those that it writes. */
  readonly reads: readonly PipeName[];
  readonly writes: readonly PipeName[];
}

/** Which pipes a channel has, from one side. */
export function pipesOf(side: SessionSide, isCommand: boolean) {
  const toBox: readonly PipeName[] = ["in"];
  const fromBox: readonly PipeName[] = isCommand ? ["out", "err"] : ["out"];
  return side === "operator" ? { reads: fromBox, writes: toBox } : { reads: toBox, writes: fromBox };
}

/** What only one of the ends says. */
const OF_BOX: ReadonlySet<FrameBody["case"]> = new Set(["opened", "refused", "exit"]);
const OF_OPERATOR: ReadonlySet<FrameBody["case"]> = new Set(["resize", "signal", "exitSeen"]);

export function createChannel(options: ChannelOptions, link: ChannelLink): SessionChannel {
  const { id, hasDigest } = options;
  const opened = Promise.withResolvers<OpenedFacts>();
  const closed = Promise.withResolvers<ChannelEnd>();
  opened.promise.catch(() => undefined);
  let handlers: ChannelHandlers = {};
  let pendingExit: ExitFacts | undefined;
  let isExitSaid = false;
  let isOver = false;
  let droppedDatagrams = 0;
  let sentMs: number | undefined;

  const say = (body: FrameBody) => {
    if (!isOver) link.control(id, body);
  };
  const over = (end: ChannelEnd) => {
    if (isOver) return;
    isOver = true;
    link.ended(channel);
    closed.resolve(end);
  };
  const fail = (error: AppError, isRefused = false) => {
    if (isOver) return;
    opened.reject(error);
    over({ error, isRefused });
    for (const { pipe } of [...readers.values(), ...writers.values()]) pipe.fail(error);
  };
  /** In order: both directions have ended, and a command's end was told and seen. */
  const settle = () => {
    const isDone =
      [...readers.values()].every(({ pipe }) => pipe.isEnded) &&
      [...writers.values()].every(({ pipe }) => pipe.isFinished);
    if (isDone && !hasDigest) over({});
  };

  const readers = new Map<PipeName, { readonly pipe: PipeReader }>(
    options.reads.map((name) => [
      name,
      {
        pipe: createPipeReader({
          ledger: link.ledger,
          now: link.now,
          onGrant: (upTo) => say(creditBody(name, upTo)),
          onAbandoned: () => say(stopBody(name)),
        }),
      },
    ]),
  );
  const writers = new Map<PipeName, { readonly pipe: PipeWriter }>(
    options.writes.map((name) => [
      name,
      // Of an input nobody tells the hash: the command itself knows what it has read.
      { pipe: createPipeWriter({ hasDigest: hasDigest && name !== "in", grantedTo: 0 }, () => link.ready(channel)) },
    ]),
  );
  const reader = (name: PipeName): PipeReader => {
    const found = readers.get(name);
    if (found === undefined)
      throw new AppError("invalid", `pipe: ${name} given; this end reads ${options.reads.join(", ")}`);
    return found.pipe;
  };
  const writer = (name: PipeName): PipeWriter => {
    const found = writers.get(name);
    if (found === undefined)
      throw new AppError("invalid", `pipe: ${name} given; this end writes ${options.writes.join(", ")}`);
    return found.pipe;
  };
  const isExitDue = () =>
    pendingExit !== undefined && !isExitSaid && [...writers.values()].every(({ pipe }) => pipe.isEmpty);

  let turn = 0;
  const channel: SessionChannel = {
    id,
    opened: opened.promise,
    closed: closed.promise,
    accept: ({ pid = 0, droppedBytes = 0 } = {}) =>
      say(openedBody({ credit: WINDOW_LIMITS.firstBytes, pid, droppedBytes })),
    refuse: (error) => {
      say(refusedBody(error));
      fail(new AppError(error.code, error.message));
    },
    readable: (pipe) => reader(pipe).stream,
    writable: (pipe) => writer(pipe).stream,
    digest: (name) => {
      const { digest } = writer(name);
      if (digest === undefined) throw new AppError("invalid", `pipe: ${name} is not hashed on this channel`);
      return digest.read();
    },
    resize: (size) => say(resizeBody(size)),
    signal: (name) => say(signalBody(name)),
    exit: (facts) => {
      pendingExit ??= facts;
      link.ready(channel);
    },
    exitSeen: () => {
      say(exitSeenBody());
      over({});
    },
    sendDatagram: (flow, bytes) => {
      if (isOver) return false;
      const isSent = link.datagram(id, datagramBody(flow, bytes, droppedDatagrams));
      droppedDatagrams = isSent ? 0 : droppedDatagrams + 1;
      return isSent;
    },
    vitals: () =>
      channelVitals(id, { readers: [...readers.values()], writers: [...writers.values()], sentMs }, link.now().nowMs),
    on: (given) => {
      handlers = given;
    },
    reset: (error) => {
      say(resetBody(error));
      fail(new AppError(error.code, error.message));
    },
    fail,
    get isReady() {
      return !isOver && (isExitDue() || [...writers.values()].some(({ pipe }) => pipe.isReady));
    },
    get isCreditShort() {
      return !isOver && [...writers.values()].some(({ pipe }) => pipe.creditBytes === 0 && pipe.queuedBytes > 0);
    },
    next: (maxBytes) => {
      if (isOver) return undefined;
      // Pipes take turns: one that is always full must not hold up the other.
      for (let step = 0; step < PIPE_NAMES.length; step++) {
        const name = PIPE_NAMES[(turn + step) % PIPE_NAMES.length];
        const pipe = name === undefined ? undefined : writers.get(name)?.pipe;
        const taken = pipe?.take(maxBytes);
        if (name === undefined || pipe === undefined || taken === undefined) continue;
        turn += step + 1;
        sentMs = link.now().nowMs;
        if (taken !== "fin") return { pipe: name, bytes: taken.bytes };
        queueMicrotask(settle);
        return finBody(name, pipe.total);
      }
      if (!isExitDue() || pendingExit === undefined) return undefined;
      isExitSaid = true;
      return { case: "exit", value: toExit(pendingExit) };
    },
    receiveData: ({ pipe, pieces, length }) => reader(pipe).push(pieces, length),
    grantAll: (upTo) => {
      for (const { pipe } of writers.values()) pipe.grant(upTo);
    },
    receive: (body) => receiveBody(body),
  };

  const isBox = options.reads.includes("in");
  const receiveBody = (body: FrameBody): void => {
    if (body.case !== undefined && (isBox ? OF_BOX : OF_OPERATOR).has(body.case)) {
      throw new AppError("invalid", `a channel was sent ${body.case} by an end that only hears it`);
    }
    switch (body.case) {
      case "opened": {
        const { initialCredit, pid, droppedBytes } = body.value;
        channel.grantAll(Number(initialCredit));
        opened.resolve({ pid: pid === 0 ? undefined : pid, droppedBytes: Number(droppedBytes) });
        break;
      }
      case "refused":
      case "reset":
        fail(new AppError(body.value.code, body.value.message), body.case === "refused");
        break;
      case "credit":
        writer(pipeNameOf(body.value.pipe)).grant(Number(body.value.upTo));
        break;
      case "fin":
        reader(pipeNameOf(body.value.pipe)).end(Number(body.value.total));
        settle();
        break;
      case "stop":
        writer(pipeNameOf(body.value.pipe)).stop();
        break;
      case "resize":
        handlers.onResize?.({ cols: body.value.cols, rows: body.value.rows });
        break;
      case "signal":
        handlers.onSignal?.(body.value.name);
        break;
      case "exit":
        handlers.onExit?.(fromExit(body.value));
        break;
      case "exitSeen":
        handlers.onExitSeen?.();
        over({});
        break;
      case "datagram":
        handlers.onDatagram?.(body.value.flow, body.value.bytes, body.value.dropped);
        break;
      default:
        throw new AppError("invalid", `a channel was sent ${body.case ?? "an unknown frame"}`);
    }
  };
  return channel;
}
