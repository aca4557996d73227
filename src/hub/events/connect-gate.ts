import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import { type BucketLevel, type Rate, refill } from "../../base/token-bucket.ts";

/**
 * Lets boxes connect at a bounded rate, and gives the others times at which there is room, so that ten thousand that come back
 * together are served one after the other and none of them has to guess. A time that was given is kept for its box: nobody who
 * comes meanwhile takes it, so a box is turned away once.
 */
export interface ConnectGate {
  /** Seconds to wait, or `undefined` for who may come in. */
  knock(boxId: string): number | undefined;
  /** Since the start. */
  turnedAway(): number;
}

/** An agent takes no more than this at its word. */
const MAX_WAIT_MS = 300_000;
/** `Retry-After` has whole seconds, so who was told one may come this much before its time. */
const EARLY_MS = 1000;
/** A box that stays away for so long after its time has it no more. */
const KEPT_MS = 300_000;

export function createConnectGate(
  /** Of boxes; a burst comes in while nobody waits. */
  rate: Rate,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): ConnectGate {
  /** Times that were given out, by box, in their order. */
  const slots = new Map<string, number>();
  let lastSlotMs = Number.NEGATIVE_INFINITY;
  let room: BucketLevel = { tokens: rate.burst, atMs: clock.monotonicMs() };
  let turnedAway = 0;

  /** Room that nobody was promised: up to the last time that was given out there is none. */
  const takeToken = (nowMs: number): boolean => {
    room = refill({ ...room, atMs: Math.max(room.atMs, lastSlotMs) }, rate, nowMs);
    if (room.tokens < 1 || lastSlotMs > nowMs) return false;
    room = { ...room, tokens: room.tokens - 1 };
    return true;
  };

  const book = (boxId: string, nowMs: number): number => {
    const slotMs = Math.max(lastSlotMs, nowMs) + 1000 / rate.perSecond;
    slots.set(boxId, slotMs);
    lastSlotMs = slotMs - nowMs >= MAX_WAIT_MS ? nowMs : slotMs;
    return slotMs;
  };

  return {
    knock: (boxId) => {
      const nowMs = clock.monotonicMs();
      for (const [absent, slotMs] of slots) {
        if (slotMs > nowMs - KEPT_MS) break;
        slots.delete(absent);
      }
      const held = slots.get(boxId);
      if (held === undefined ? takeToken(nowMs) : nowMs >= held - EARLY_MS) {
        slots.delete(boxId);
        return undefined;
      }
      turnedAway++;
      const waitMs = Math.min(MAX_WAIT_MS, (held ?? book(boxId, nowMs)) - nowMs);
      // Chance decides between the two whole seconds around the time, so that none of them fills up.
      return Math.max(1, Math.floor(waitMs / 1000 + random()));
    },
    turnedAway: () => turnedAway,
  };
}
