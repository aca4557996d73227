import type { Carrier } from "./carrier.ts";
import { createCarrierInbox } from "./carrier-inbox.ts";
import { isBeat } from "./lane-beat.ts";

/** A carrier whose frames wait until somebody listens; `onNews` is called for each of them, and for its end. Beats are none. */
export function holdFrames(inner: Carrier, onNews: () => void): Carrier {
  const inbox = createCarrierInbox();
  inner.listen({
    onFrame: (pieces) => {
      if (isBeat(pieces)) return;
      inbox.onFrame(pieces);
      if (!inbox.isHeard) onNews();
    },
    onDrain: inbox.onDrain,
    onEnd: (end) => {
      inbox.onEnd(end);
      if (!inbox.isHeard) onNews();
    },
  });
  return { ...inner, listen: inbox.listen };
}
