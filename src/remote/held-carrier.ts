import type { Carrier } from "./carrier.ts";
import { createCarrierInbox } from "./carrier-inbox.ts";
import { isBeat } from "./lane-beat.ts";

/** Told of what comes before somebody listens. */
export interface HeldNews {
  onFrame(): void;
  onBeat(): void;
  onEnd(): void;
}

export interface HeldCarrier extends Carrier {
  /** Beats are frames from here on: for the call beside a lane. */
  passBeats(): void;
}

/** A carrier whose frames wait until somebody listens. Beats are none. */
export function holdFrames(inner: Carrier, news: HeldNews): HeldCarrier {
  const inbox = createCarrierInbox();
  let passesBeats = false;
  inner.listen({
    onFrame: (pieces) => {
      if (!passesBeats && isBeat(pieces)) return news.onBeat();
      inbox.onFrame(pieces);
      if (!inbox.isHeard) news.onFrame();
    },
    onDrain: inbox.onDrain,
    onEnd: (end) => {
      inbox.onEnd(end);
      if (!inbox.isHeard) news.onEnd();
    },
  });
  return {
    ...inner,
    listen: inbox.listen,
    passBeats: () => {
      passesBeats = true;
    },
  };
}
