import type { CarrierEnd, CarrierHandlers } from "./carrier.ts";

/** Where a carrier puts what comes of it, for whoever listens: what comes before waits. Nothing comes after the end, which is told once. */
export interface CarrierInbox extends CarrierHandlers {
  /** Somebody listens. */
  readonly isHeard: boolean;
  /** It has ended, whether that was heard or waits. */
  readonly isOver: boolean;
  /** Once, as `Carrier.listen`. */
  listen(handlers: CarrierHandlers): void;
}

export function createCarrierInbox(): CarrierInbox {
  let handlers: CarrierHandlers | undefined;
  let early: (readonly Uint8Array[])[] = [];
  let end: CarrierEnd | undefined;
  return {
    get isHeard() {
      return handlers !== undefined;
    },
    get isOver() {
      return end !== undefined;
    },
    onFrame: (pieces) => {
      if (end !== undefined) return;
      if (handlers === undefined) early.push(pieces);
      else handlers.onFrame(pieces);
    },
    onDrain: () => handlers?.onDrain(),
    onEnd: (given) => {
      if (end !== undefined) return;
      end = given;
      handlers?.onEnd(given);
    },
    listen: (given) => {
      const endBefore = end;
      const frames = early;
      early = [];
      handlers = given;
      for (const frame of frames) {
        // Who listens may end it over a frame.
        if (end !== endBefore) return;
        given.onFrame(frame);
      }
      if (endBefore !== undefined) given.onEnd(endBefore);
    },
  };
}
