import type { Clock, Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Carrier, CarrierEnd } from "./carrier.ts";
import { createCarrierInbox } from "./carrier-inbox.ts";
import { decodeFrame, encodeControl, type FrameBody } from "./frame.ts";
import { refusedBody } from "./frame-bodies.ts";
import { createFrameOpener, createFrameSealer, type FrameOpener, type FrameSealer } from "./sealed-frame.ts";

/** A carrier that begins with words about itself, and becomes what a session uses once they are said. */
export interface StagedCarrier {
  /** For the session: what comes before it listens waits. */
  readonly carrier: Carrier;
  /** In the clear, of channel 0. */
  say(body: FrameBody): void;
  /** From here on the session's frames go out: sealed with this key, or as they are. */
  sendWith(key: Uint8Array | undefined): void;
  /** The next frame is no frame of the session. */
  receiveFirst(take: (pieces: readonly Uint8Array[]) => void): void;
  /** From here on all that comes is the session's. */
  receiveWith(key: Uint8Array | undefined): void;
  /** Ends it for this side at once. */
  end(reason: CarrierEnd["reason"], message: string): void;
  /** Ends it for both: the other hears why. */
  refuse(problem: Problem): void;
  /** The other end has said that it leaves. */
  leftByOther(problem: Problem): void;
}

export interface StagedHooks {
  /** The first frame that comes. */
  onFirst(pieces: readonly Uint8Array[]): void;
  /** It ended before the session's frames began. */
  onGone(): void;
  /** The other end has not said its part within `limitMs`. */
  onLate(): void;
  readonly limitMs: number;
}

interface Problem {
  readonly code: string;
  readonly message: string;
}

/** What is said last has so long to arrive. */
const FAREWELL_MS = 2000;
/** First byte of a frame that says `refused` of channel 0 and nothing else: field 6, a message. */
const REFUSED_TAG = 0x32;
const TAMPERED = "conflict";

export function createStagedCarrier(inner: Carrier, clock: Clock, hooks: StagedHooks): StagedCarrier {
  const inbox = createCarrierInbox();
  let isStarted = false;
  /** It is to end so. */
  let leaving: CarrierEnd | undefined;
  let take = hooks.onFirst;
  let sealer: FrameSealer | undefined;
  let opener: FrameOpener | undefined;

  const over = (end: CarrierEnd) => {
    if (inbox.isOver) return;
    limit.clear();
    inbox.onEnd(end);
    if (!isStarted) hooks.onGone();
  };
  const limit = clock.timer(hooks.limitMs, hooks.onLate);
  let farewell: Timer | undefined;

  const sendBody = (body: FrameBody) => {
    const frame = [encodeControl({ seq: 0, channel: 0, body })];
    inner.send(sealer === undefined ? frame : sealer.seal(frame));
  };
  const endOf = ({ code, message }: Problem): CarrierEnd => ({
    reason: code === TAMPERED ? "tampered" : "refused",
    message,
  });
  /** Nothing is taken or sent any more; it is over when the last word has arrived, or when nobody takes it. */
  const refuse = (problem: Problem) => {
    if (inbox.isOver || leaving !== undefined) return;
    sendBody(refusedBody(problem));
    leaving = endOf(problem);
    limit.clear();
    inner.finish();
    farewell = clock.timer(FAREWELL_MS, () => {
      over(endOf(problem));
      inner.cut();
    });
  };
  const leftByOther = (problem: Problem) => {
    inner.finish();
    over(endOf(problem));
  };

  /** Of the session, or the last word of the other end. */
  const deliver = (pieces: readonly Uint8Array[]) => {
    const word = pieces[0]?.[0] === REFUSED_TAG ? linkBodyOf(pieces) : undefined;
    if (word?.case === "refused") return leftByOther(word.value);
    inbox.onFrame(pieces);
  };
  const open = (pieces: readonly Uint8Array[]) => {
    if (opener === undefined) return deliver(pieces);
    let opened: readonly Uint8Array[];
    try {
      opened = opener.open(pieces);
    } catch (thrown) {
      return refuse({ code: TAMPERED, message: messageOf(thrown) });
    }
    deliver(opened);
  };

  queueMicrotask(() =>
    inner.listen({
      onFrame: (pieces) => {
        if (!inbox.isOver && leaving === undefined) take(pieces);
      },
      onDrain: inbox.onDrain,
      onEnd: (end) => {
        farewell?.clear();
        over(leaving ?? end);
      },
    }),
  );

  const carrier: Carrier = {
    sessionId: inner.sessionId,
    routerId: inner.routerId,
    peerClient: inner.peerClient,
    listen: inbox.listen,
    send: (pieces) => {
      if (inbox.isOver || leaving !== undefined) return true;
      if (sealer === undefined) return inner.send(pieces);
      if (sealer.isSpent) {
        over({ reason: "broken", message: "as many frames as a key may seal were sent: the next carrier has another" });
        inner.cut();
        return true;
      }
      return inner.send(sealer.seal(pieces));
    },
    finish: () => inner.finish(),
    cut: () => {
      over({ reason: "broken", message: "this end cut it" });
      inner.cut();
    },
  };
  return {
    carrier,
    say: sendBody,
    sendWith: (key) => {
      sealer = key === undefined ? undefined : createFrameSealer(key);
    },
    receiveFirst: (given) => {
      take = given;
    },
    receiveWith: (key) => {
      opener = key === undefined ? undefined : createFrameOpener(key);
      isStarted = true;
      limit.clear();
      take = open;
    },
    end: (reason, message) => {
      if (inbox.isOver) return;
      // First: to be cut is an end, too.
      over({ reason, message });
      inner.cut();
    },
    refuse,
    leftByOther,
  };
}

/** Of channel 0 and without `seq`; `undefined`: it is none. */
export function linkBodyOf(pieces: readonly Uint8Array[]): FrameBody | undefined {
  try {
    const frame = decodeFrame(pieces);
    return "body" in frame && frame.seq === 0 && frame.channel === 0 ? frame.body : undefined;
  } catch {
    return undefined;
  }
}
