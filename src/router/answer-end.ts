import { constants } from "node:http2";
import type { Clock } from "../base/clock.ts";
import type { CallStream } from "../base/grpc/call-stream.ts";

/** How the answer to a call comes to its end. */
export interface AnswerEnd {
  /** Nobody hears an answer any more. */
  readonly isGone: boolean;
  readonly isEnded: boolean;
  /** What still comes in is thrown away. `false`: it has ended before, or nobody hears it, and nothing more is to be written. */
  begin(): boolean;
  /** Breaks the call off, here and now. */
  reset(): void;
  /** To be called about every second: a client that does not take the end within 5 s is not waited for. */
  lap(): void;
}

export const TAKE_END_WITHIN_MS = 5000;

export function createAnswerEnd(stream: CallStream, clock: Pick<Clock, "monotonicMs">): AnswerEnd {
  let beganAtMs: number | undefined;
  const isGone = () => stream.destroyed || stream.closed || stream.aborted;
  const begin = () => {
    beganAtMs = clock.monotonicMs();
    stream.resume();
  };
  return {
    get isGone() {
      return isGone();
    },
    get isEnded() {
      return beganAtMs !== undefined || isGone();
    },
    begin: () => {
      if (beganAtMs !== undefined) return false;
      begin();
      return !isGone();
    },
    reset: () => {
      begin();
      if (!stream.destroyed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    },
    lap: () => {
      if (beganAtMs === undefined || stream.destroyed) return;
      if (clock.monotonicMs() - beganAtMs >= TAKE_END_WITHIN_MS) stream.close(constants.NGHTTP2_CANCEL);
    },
  };
}
