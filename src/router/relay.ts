import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { CallStream } from "../base/grpc/call-stream.ts";
import { createTurnBatch } from "../base/turn-batch.ts";
import { createFrameGate } from "./frame-gate.ts";

/** What waits in the router for a reader, before its sender is held. */
const HOLD_ABOVE_BYTES = 256 * 1024;
const RELEASE_BELOW_BYTES = 64 * 1024;

export interface Relay {
  stop(): void;
  /** The reader has the beginning of a message whose end has not come. */
  readonly isForwardedPartly: boolean;
  /** How long nothing was taken by the reader while the sender is held; 0: it is not held. */
  stalledMs(): number;
}

/**
 * Hands on what one stream brings to another, byte for byte, as it comes. Back-pressure is that of HTTP/2, or of TCP: while the reader does
 * not take, the sender's stream is not read, and its window closes. Begins in the next turn.
 */
export function startRelay(
  { from, to }: { readonly from: CallStream; readonly to: CallStream },
  deps: {
    readonly clock: Pick<Clock, "monotonicMs">;
    readonly onRelayed: (bytes: number, isActivity: boolean) => void;
    /** In order, with nothing cut. */
    readonly onEnd: () => void;
    readonly onBroken: (message: string) => void;
  },
): Relay {
  const gate = createFrameGate();
  let isStopped = false;
  let isHeld = false;
  let takenAtMs = 0;

  const onTaken = () => {
    if (!isHeld) return;
    takenAtMs = deps.clock.monotonicMs();
    if (to.writableLength > RELEASE_BELOW_BYTES) return;
    isHeld = false;
    if (!isStopped) from.resume();
  };
  const write = createTurnBatch(to, onTaken);
  const forward = (piece: Uint8Array) => {
    if (!to.destroyed && !to.writableEnded) write(piece);
  };
  const stop = () => {
    isStopped = true;
    from.off("data", onData);
    from.off("end", onEnd);
  };
  const onData = (chunk: Uint8Array) => {
    try {
      const isActivity = gate.push(chunk, forward);
      deps.onRelayed(chunk.length, isActivity);
    } catch (thrown) {
      stop();
      deps.onBroken(messageOf(thrown));
      return;
    }
    if (!isHeld && to.writableLength >= HOLD_ABOVE_BYTES) {
      isHeld = true;
      takenAtMs = deps.clock.monotonicMs();
      from.pause();
    }
  };
  const onEnd = () => {
    // A client that breaks a call off may close it first. A stream that was reset is told as lost.
    setImmediate(afterEnd);
  };
  const afterEnd = () => {
    if (isStopped || from.aborted || from.rstCode !== 0) return;
    stop();
    if (gate.isInMessage) deps.onBroken("it ended in the middle of a message");
    else deps.onEnd();
  };

  from.on("data", onData);
  from.on("end", onEnd);
  from.resume();
  return {
    stop,
    get isForwardedPartly() {
      return gate.isForwardedPartly;
    },
    stalledMs: () => (isHeld ? deps.clock.monotonicMs() - takenAtMs : 0),
  };
}
