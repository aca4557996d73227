import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { createAcknowledger } from "./acknowledger.ts";
import type { Carrier, CarrierEnd } from "./carrier.ts";
import {
  type Channel,
  type ChannelLink,
  createChannel,
  pipesOf,
  type SessionChannel,
  type SessionSide,
} from "./channel.ts";
import { type ControlFrame, type DataFrame, decodeFrame, encodeControl, type FrameBody } from "./frame.ts";
import { ackBody, closeBody, helloBody, pingBody, pongBody } from "./frame-bodies.ts";
import { createLinkFrames } from "./link-frames.ts";
import { createLinkWatch } from "./link-watch.ts";
import { fromOpen, type OpenWhat, toOpen } from "./open-what.ts";
import { WINDOW_LIMITS, type WindowLedger } from "./receive-window.ts";
import { createSendQueue } from "./send-queue.ts";
import { SESSION_VERSION, wrongVersion } from "./session-version.ts";
import { type ChannelVitals, type EndVitals, endVitals } from "./vitals.ts";

/**
 * One end of a remote session. It lives longer than any connection: what was sent and not acknowledged is sent again on the next
 * carrier, so that nothing is lost and nothing comes twice.
 */
export interface RemoteSession {
  /**
   * Uses this carrier from now on; an earlier one is cut. Resolves when it has ended, with the reason: the session goes on and waits
   * for the next. Rejects with `conflict` when the other end has lost its memory of the session, and with `version`.
   */
  carry(carrier: Carrier): Promise<CarrierEnd>;
  /** Of the operator's side. */
  open(what: OpenWhat): Channel;
  /** Of the box's side: once, before the first carrier. */
  onChannel(take: (channel: Channel, what: OpenWhat) => void): void;
  /** Says so when everything that was written has gone; without a link it is over at once. What is still open is reset. */
  close(problem?: AppError): void;
  /** The session is over, whoever said it. */
  readonly closed: Promise<SessionEnd>;
  /** Monotonic: when anything but the link's own frames was last sent or received. */
  readonly lastActivityMs: number;
  stats(): SessionStats;
  /** How it stands at this moment, for whoever looks for what holds it up. */
  vitals(): SessionVitals;
  /**
   * Asks the other end at once. Resolves with its answer, which a foreign one gives without `vitals`; `undefined`: there is no link, or it
   * ended before. Waits as long as the link lasts.
   */
  probe(): Promise<ProbeAnswer | undefined>;
}

export interface SessionVitals extends EndVitals {
  /** An other end has said hello on this carrier. */
  readonly hasLink: boolean;
  /** Since anything at all came from the other end. */
  readonly silentMs: number;
  readonly limitBytes: number;
  /** Since the other end had something new; absent: nothing was ever acknowledged. */
  readonly ackedMs?: number | undefined;
  readonly channels: readonly ChannelVitals[];
}

export interface ProbeAnswer {
  readonly tookMs: number;
  readonly vitals: EndVitals | undefined;
}

export interface SessionEnd {
  /** One of the API's error codes; absent: as it should be. */
  readonly code: string | undefined;
  readonly message: string;
}

export interface SessionStats {
  readonly rttMs: number | undefined;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly unackedBytes: number;
  readonly openChannels: number;
  /** Something could go, and waits because as much is under way as the link carries. */
  readonly isFlightFull: boolean;
  /** Something could go, and waits because the other end lets no more come of it. */
  readonly isCreditShort: boolean;
}

export interface RemoteSessionDeps {
  readonly clock: Clock;
  readonly newId: () => string;
  /** Shared by all sessions of a process. */
  readonly ledger: WindowLedger;
}

/** Of one session; more are refused. */
export const MAX_CHANNELS = 4096;
/** What is said and not acknowledged, beside bytes of pipes, which the flight bounds: an end that asks without end is not answered so. */
const MAX_WAITING_CONTROL = 16_384;

/** One carrier's time. */
interface Lap {
  readonly carrier: Carrier;
  readonly end: (end: CarrierEnd) => void;
  readonly fail: (error: AppError) => void;
}

export function createRemoteSession(
  { side, program }: { readonly side: SessionSide; readonly program: string },
  { clock, newId, ledger }: RemoteSessionDeps,
): RemoteSession {
  const incarnation = newId();
  const channels = new Map<number, SessionChannel>();
  const closed = Promise.withResolvers<SessionEnd>();
  let take: ((channel: Channel, what: OpenWhat) => void) | undefined;
  let peer: string | undefined;
  let lastChannel = 0;
  let received = 0;
  let receivedBytes = 0;
  let lap: Lap | undefined;
  let isGreeted = false;
  /** On this carrier frames went out before the other end has greeted. */
  let isAhead = false;
  /** It is to be over, for this reason. */
  let closing: SessionEnd | undefined;
  /** The carrier takes no datagram, which never wait. */
  let isFull = false;
  let over: SessionEnd | undefined;
  let lastActivityMs = clock.monotonicMs();
  const probes = new Map<number, (vitals: EndVitals | undefined) => void>();

  const active = () => {
    lastActivityMs = clock.monotonicMs();
  };
  const post = (frame: readonly Uint8Array[]) => lap === undefined || lap.carrier.send(frame);
  const linkFrames = createLinkFrames(post);
  const link = linkFrames.say;
  const queue = createSendQueue({ clock, onSent: active });
  const control: ChannelLink["control"] = (channel, body) => {
    if (over !== undefined) return;
    if (queue.waitingControl < MAX_WAITING_CONTROL) queue.control(channel, body);
    else lose(new AppError("exhausted", `the other end has acknowledged none of ${MAX_WAITING_CONTROL} frames`));
  };
  const acknowledger = createAcknowledger({ clock, say: () => link(ackBody(received)) });
  const watch = createLinkWatch({
    clock,
    ping: (id) => link(pingBody(id)),
    isBusy: () => queue.unackedBytes > 0,
    onDead: (message) => endLap({ reason: "broken", message }),
  });

  const leave = () => {
    const left = lap;
    lap = undefined;
    for (const settle of [...probes.values()]) settle(undefined);
    isGreeted = false;
    queue.shut();
    watch.stop();
    acknowledger.stop();
    return left;
  };
  const endLap = (end: CarrierEnd) => {
    const left = leave();
    if (left === undefined) return;
    if (end.reason === "broken" || end.reason === "protocol" || end.reason === "replaced") left.carrier.cut();
    left.end(end);
    if (closing !== undefined) finish(closing);
  };
  /** The session cannot go on. */
  const lose = (error: AppError) => {
    const left = leave();
    finish({ code: error.code, message: error.message });
    left?.carrier.finish();
    left?.fail(error);
  };
  const finish = (end: SessionEnd) => {
    if (over !== undefined) return;
    over = end;
    const error = new AppError(end.code ?? "cancelled", end.message);
    for (const channel of [...channels.values()]) channel.fail(error);
    lap?.carrier.finish();
    closed.resolve(end);
  };

  const channelLink: ChannelLink = {
    ledger,
    now: () => ({ nowMs: clock.monotonicMs(), rttMs: watch.rttMs ?? 0 }),
    control,
    datagram: (channel, body) => {
      if (!isGreeted || isFull) return false;
      active();
      if (!post([encodeControl({ seq: 0, channel, body })])) isFull = true;
      return true;
    },
    ready: queue.ready,
    ended: (channel) => channels.delete(channel.id),
  };
  const make = (id: number, what: OpenWhat): SessionChannel => {
    const isCommand = what.kind === "exec" || what.kind === "attach";
    const channel = createChannel({ id, hasDigest: isCommand, ...pipesOf(side, isCommand) }, channelLink);
    channels.set(id, channel);
    return channel;
  };

  const onOpen = (id: number, body: Extract<FrameBody, { case: "open" }>) => {
    if (side !== "box" || id <= lastChannel) {
      throw new AppError("invalid", `open: channel ${id} given; allowed: above ${lastChannel}, and to the box only`);
    }
    lastChannel = id;
    const refuse = (error: AppError) => make(id, { kind: "attach" }).refuse(error);
    if (channels.size >= MAX_CHANNELS) {
      return refuse(new AppError("exhausted", `a session has at most ${MAX_CHANNELS} channels at once`));
    }
    if (closing !== undefined || take === undefined)
      return refuse(new AppError("unavailable", "this end opens nothing any more"));
    let what: OpenWhat;
    try {
      what = fromOpen(body.value);
    } catch (thrown) {
      return refuse(thrown instanceof AppError ? thrown : new AppError("invalid", messageOf(thrown)));
    }
    const channel = make(id, what);
    channel.grantAll(Number(body.value.initialCredit));
    take(channel, what);
  };
  const onClose = ({ code, message }: { readonly code: string; readonly message: string }) => {
    if (closing === undefined) queue.last(closeBody(undefined));
    const text = message === "" ? "the other end has closed the session" : message;
    closing ??= { code: code === "" ? undefined : code, message: text };
    acknowledger.now();
    finish(closing);
  };
  const onControl = ({ channel: id, body }: Pick<ControlFrame, "channel" | "body">) => {
    if (body.case === "close") onClose(body.value);
    else if (body.case === "open") onOpen(id, body);
    else inChannel(id, (channel) => channel.receive(body));
  };
  /** A channel that is over here may still be spoken to: what was on its way. One that is misused is reset; the others go on. */
  const inChannel = (id: number, act: (channel: SessionChannel) => void) => {
    const channel = channels.get(id);
    if (channel === undefined) return;
    try {
      act(channel);
    } catch (thrown) {
      if (!(thrown instanceof AppError)) throw thrown;
      channel.reset(thrown);
    }
  };

  const channelsNow = () => [...channels.values()].map((channel) => channel.vitals());
  const vitalsOf = () => endVitals(channelsNow(), queue.unackedBytes);
  const onPong = ({ id, vitals }: Extract<FrameBody, { case: "pong" }>["value"]) => {
    watch.answered(Number(id));
    probes.get(Number(id))?.(
      vitals && {
        queuedBytes: Number(vitals.queuedBytes),
        unackedBytes: Number(vitals.unackedBytes),
        heldBytes: Number(vitals.heldBytes),
        heldMs: Number(vitals.heldMs),
      },
    );
  };
  const isLinkFrame = (body: FrameBody): boolean => {
    if (body.case === "ack") queue.acknowledged(Number(body.value.received));
    else if (body.case === "ping") link(pongBody(body.value.id, vitalsOf()));
    else if (body.case === "pong") onPong(body.value);
    else return body.case === "hello";
    return true;
  };
  const onFrame = (pieces: readonly Uint8Array[]) => {
    watch.heard();
    const frame = decodeFrame(pieces);
    let bytes = 0;
    for (const piece of pieces) bytes += piece.length;
    if (!isGreeted) return greet(frame);
    if ("body" in frame && isLinkFrame(frame.body)) return;
    active();
    receivedBytes += bytes;
    if ("body" in frame && frame.body.case === "datagram") return onControl(frame);
    if (frame.seq <= received && frame.seq > 0) return;
    if (frame.seq !== received + 1) {
      throw new AppError("invalid", `seq: given ${frame.seq}; allowed: ${received + 1}, the next`);
    }
    received = frame.seq;
    if ("body" in frame) onControl(frame);
    else inChannel(frame.channel, (channel) => channel.receiveData(frame));
    if (lap !== undefined) acknowledger.arrived(bytes);
  };

  /** The first frame of a carrier: who is there, and what it has. */
  const greet = (frame: ControlFrame | DataFrame) => {
    if (!("body" in frame) || frame.body.case !== "hello") throw new AppError("invalid", "the first frame is no hello");
    const hello = frame.body.value;
    if (hello.version !== SESSION_VERSION) return lose(wrongVersion(hello.version));
    if (peer !== undefined && peer !== hello.incarnation)
      return lose(new AppError("conflict", "the other end has lost its memory of this session"));
    peer = hello.incarnation;
    isGreeted = true;
    watch.greeted();
    try {
      if (isAhead) queue.acknowledged(Number(hello.received));
      else queue.open(post, Number(hello.received));
    } catch (thrown) {
      lose(thrown instanceof AppError ? thrown : new AppError("internal", messageOf(thrown), { cause: thrown }));
    }
  };

  return {
    carry: (carrier) => {
      endLap({ reason: "replaced", message: "another connection took its place" });
      if (over !== undefined) {
        carrier.finish();
        return Promise.resolve({ reason: "peer-done", message: over.message });
      }
      const done = Promise.withResolvers<CarrierEnd>();
      const mine: Lap = { carrier, end: done.resolve, fail: done.reject };
      lap = mine;
      isFull = false;
      linkFrames.restart();
      watch.start();
      // Before anything is heard: the other end's hello may be here already, and what answers it must not go first.
      link(helloBody({ version: SESSION_VERSION, incarnation, received, program }));
      // A box that was never heard has nothing to tell before it is asked; what it had all the same it knows by `seq`.
      isAhead = side === "operator" && peer === undefined;
      if (isAhead) queue.open(post, 0);
      carrier.listen({
        onFrame: (pieces) => {
          if (lap !== mine) return;
          try {
            onFrame(pieces);
          } catch (thrown) {
            if (!(thrown instanceof AppError)) throw thrown;
            endLap({ reason: "protocol", message: thrown.message });
          }
        },
        onDrain: () => {
          if (lap !== mine) return;
          isFull = false;
          linkFrames.drained();
          if (isGreeted) queue.drained();
        },
        onEnd: (end) => {
          if (lap === mine) endLap(end);
        },
      });
      return done.promise;
    },
    open: (what) => {
      if (side !== "operator") throw new AppError("internal", "only the operator's side opens channels");
      if (over !== undefined || closing !== undefined) throw new AppError("unavailable", "the session is over");
      lastChannel += 1;
      const channel = make(lastChannel, what);
      control(lastChannel, { case: "open", value: toOpen(what, WINDOW_LIMITS.firstBytes) });
      return channel;
    },
    onChannel: (given) => {
      take = given;
    },
    close: (problem) => {
      if (closing !== undefined || over !== undefined) return;
      closing = { code: problem?.code, message: problem?.message ?? "closed" };
      if (lap === undefined) finish(closing);
      else queue.last(closeBody(problem));
    },
    closed: closed.promise,
    get lastActivityMs() {
      return lastActivityMs;
    },
    stats: () => ({
      rttMs: watch.rttMs,
      sentBytes: queue.sentBytes,
      receivedBytes,
      unackedBytes: queue.unackedBytes,
      openChannels: channels.size,
      isFlightFull: queue.isFlightFull,
      isCreditShort: [...channels.values()].some((channel) => channel.isCreditShort),
    }),
    vitals: () => {
      const all = channelsNow();
      return {
        ...endVitals(all, queue.unackedBytes),
        hasLink: lap !== undefined && isGreeted,
        silentMs: watch.silentMs,
        limitBytes: queue.capBytes,
        ...(queue.ackedMs === undefined ? {} : { ackedMs: clock.monotonicMs() - queue.ackedMs }),
        channels: all,
      };
    },
    probe: () => {
      if (lap === undefined || !isGreeted) return Promise.resolve(undefined);
      const askedMs = clock.monotonicMs();
      const mine = lap;
      return new Promise((resolve) => {
        const id = watch.ask();
        probes.set(id, (vitals) => {
          probes.delete(id);
          resolve(lap === mine ? { tookMs: clock.monotonicMs() - askedMs, vitals } : undefined);
        });
      });
    },
  };
}
