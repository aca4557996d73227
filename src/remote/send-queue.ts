import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { SessionChannel } from "./channel.ts";
import { createFlightGovernor } from "./flight-governor.ts";
import { encodeControl, encodeData, type FrameBody } from "./frame.ts";
import { createOutbox } from "./outbox.ts";

/** What goes next, and what must be kept for the case that it has to go again. */
export interface SendQueue {
  readonly unackedBytes: number;
  /** Control frames that were sent and not acknowledged, or are still to be sent. */
  readonly waitingControl: number;
  readonly sentBytes: number;
  /** As much is under way as the link carries, and more could go. */
  readonly isFlightFull: boolean;
  /** How much may be under way. */
  readonly capBytes: number;
  /** Monotonic: when the other end last had something new; `undefined`: never. */
  readonly ackedMs: number | undefined;
  /** Goes before all bytes of pipes. */
  control(channel: number, body: FrameBody): void;
  /** It has bytes to send: channels take turns. */
  ready(channel: SessionChannel): void;
  /** Goes when there is nothing else. */
  last(body: FrameBody): void;
  /** A carrier that takes frames. `received`: what the other end has; throws `conflict` when it has what was never sent. */
  open(post: (frame: readonly Uint8Array[]) => boolean, received: number): void;
  /** The carrier takes frames again. */
  drained(): void;
  /** There is no carrier: everything waits. */
  shut(): void;
  /** Throws `invalid`: it was never sent. */
  acknowledged(received: number): void;
}

/**
 * Who has sent no more than this lately does not fill the link, and does not wait for those who do: it goes before them, and somewhat beyond
 * the cap, where each frame of it is short.
 */
const SPARSE = { bytes: 4096, withinMs: 100, beyondCapBytes: 32 * 1024 } as const;

interface Sent {
  sinceMs: number;
  bytes: number;
}

export function createSendQueue({ clock, onSent }: { readonly clock: Clock; readonly onSent: () => void }): SendQueue {
  const outbox = createOutbox();
  const governor = createFlightGovernor();
  const control: { readonly channel: number; readonly body: FrameBody }[] = [];
  /** Of the control frames that are not acknowledged. */
  let controlSeqs: number[] = [];
  const ring: SessionChannel[] = [];
  /** Those before the ring. */
  const sparse: SessionChannel[] = [];
  const lately = new WeakMap<SessionChannel, Sent>();
  const waiting = new Set<SessionChannel>();
  let farewell: FrameBody | undefined;
  let post: ((frame: readonly Uint8Array[]) => boolean) | undefined;
  let isFull = false;
  let isPumping = false;
  let sentBytes = 0;
  let ackedMs: number | undefined;

  const put = (frame: readonly Uint8Array[]) => {
    governor.sent(sizeOf(frame), clock.monotonicMs());
    if (post?.(frame) === false) isFull = true;
  };
  const send = (frame: readonly Uint8Array[]) => {
    outbox.add(frame);
    sentBytes += sizeOf(frame);
    onSent();
    put(frame);
  };
  const sendControl = (channel: number, body: FrameBody) => {
    controlSeqs.push(outbox.nextSeq);
    send([encodeControl({ seq: outbox.nextSeq, channel, body })]);
  };
  const acknowledge = (received: number) => {
    const bytes = outbox.acknowledge(received);
    if (bytes === undefined) return undefined;
    const gone = controlSeqs.findIndex((seq) => seq > received);
    if (gone !== 0) controlSeqs = gone < 0 ? [] : controlSeqs.slice(gone);
    return bytes;
  };

  const sentLately = (channel: SessionChannel): Sent => {
    const nowMs = clock.monotonicMs();
    const known = lately.get(channel);
    if (known !== undefined && nowMs - known.sinceMs <= SPARSE.withinMs) return known;
    const sent = { sinceMs: nowMs, bytes: 0 };
    lately.set(channel, sent);
    return sent;
  };
  const sendOf = (channel: SessionChannel, maxBytes: number) => {
    waiting.delete(channel);
    const next = channel.next(maxBytes);
    if (next !== undefined && "case" in next) sendControl(channel.id, next);
    else if (next !== undefined) {
      sentLately(channel).bytes += next.bytes.length;
      send(encodeData({ seq: outbox.nextSeq, channel: channel.id, ...next }));
    }
    if (channel.isReady) wait(channel);
  };
  const wait = (channel: SessionChannel) => {
    if (waiting.has(channel)) return;
    waiting.add(channel);
    (sentLately(channel).bytes < SPARSE.bytes ? sparse : ring).push(channel);
  };
  /** False: as much is under way as may be. */
  const sendNext = (): boolean => {
    const roomBytes = governor.capBytes - outbox.unackedBytes;
    if (roomBytes <= (sparse.length > 0 ? -SPARSE.beyondCapBytes : 0)) return false;
    const channel = sparse.shift() ?? ring.shift();
    if (channel !== undefined) sendOf(channel, roomBytes > 0 ? governor.frameBytes : SPARSE.bytes);
    return true;
  };

  /** False: nothing can go. What is sent may have more sent, by whoever waits for its turn. */
  const step = (): boolean => {
    const next = control.shift();
    if (next !== undefined) {
      sendControl(next.channel, next.body);
      return true;
    }
    if (waiting.size > 0) return sendNext();
    if (farewell === undefined) return false;
    sendControl(0, farewell);
    farewell = undefined;
    return true;
  };
  const pump = () => {
    if (isPumping) return;
    isPumping = true;
    try {
      while (post !== undefined && !isFull && step());
    } finally {
      isPumping = false;
    }
  };

  return {
    get unackedBytes() {
      return outbox.unackedBytes;
    },
    get waitingControl() {
      return controlSeqs.length + control.length;
    },
    get sentBytes() {
      return sentBytes;
    },
    get isFlightFull() {
      return waiting.size > 0 && (isFull || outbox.unackedBytes >= governor.capBytes);
    },
    get capBytes() {
      return governor.capBytes;
    },
    get ackedMs() {
      return ackedMs;
    },
    control: (channel, body) => {
      control.push({ channel, body });
      pump();
    },
    ready: (channel) => {
      wait(channel);
      pump();
    },
    last: (body) => {
      farewell = body;
      pump();
    },
    open: (given, received) => {
      if (acknowledge(received) === undefined) {
        throw new AppError("conflict", "the other end has what this one never sent: one of them has lost its memory");
      }
      governor.restart();
      post = given;
      isFull = false;
      for (const frame of outbox.unacked()) put(frame);
      pump();
    },
    drained: () => {
      isFull = false;
      pump();
    },
    shut: () => {
      post = undefined;
    },
    acknowledged: (received) => {
      const bytes = acknowledge(received);
      if (bytes === undefined) {
        throw new AppError("invalid", `ack: given ${received}; allowed: up to ${outbox.nextSeq - 1}, what was sent`);
      }
      if (bytes > 0) {
        ackedMs = clock.monotonicMs();
        governor.acknowledged(bytes, ackedMs);
      }
      pump();
    },
  };
}

function sizeOf(frame: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const piece of frame) bytes += piece.length;
  return bytes;
}
