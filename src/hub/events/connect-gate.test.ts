import { expect, test } from "vitest";
import { seededRandom } from "../../base/random.ts";
import { LIVE_DEFAULTS } from "../live.ts";
import { knock, openGate } from "./connect-gate.ts";

/** Boxes that all come at one moment; each comes back when it was told to, up to a tenth later, as agents do. */
function storm(boxes: number, seed: number) {
  const options = LIVE_DEFAULTS.connects;
  const random = seededRandom(seed);
  let gate = openGate(options, 0);
  /** When whose next attempt is due, soonest first. */
  let waiting = Array.from({ length: boxes }, () => ({ dueMs: random() * 1000, knocks: 0 }));
  const admittedMs: number[] = [];
  const knocks: number[] = [];
  while (waiting.length > 0) {
    waiting.sort((one, other) => one.dueMs - other.dueMs);
    const refused: typeof waiting = [];
    // Nobody who is turned away comes back within a second: so far nothing can come in between.
    const untilMs = (waiting[0]?.dueMs ?? 0) + 1000;
    for (const { dueMs, knocks: before } of waiting) {
      if (dueMs >= untilMs) {
        refused.push({ dueMs, knocks: before });
        continue;
      }
      const answer = knock(gate, options, { nowMs: dueMs, random });
      gate = answer.state;
      if (answer.admitted) {
        admittedMs.push(dueMs);
        knocks.push(before + 1);
      } else {
        const waitMs = answer.retryAfterSeconds * 1000 * (1 + random() / 10);
        refused.push({ dueMs: dueMs + waitMs, knocks: before + 1 });
      }
    }
    waiting = refused;
  }
  const perSecond = Map.groupBy(admittedMs, (ms) => Math.floor(ms / 1000));
  return {
    seconds: Math.max(...admittedMs) / 1000,
    mostASecond: Math.max(...[...perSecond.values()].map(({ length }) => length)),
    knocksEach: knocks.reduce((sum, count) => sum + count, 0) / boxes,
    mostKnocks: Math.max(...knocks),
  };
}

test.each([5000, 10_000])(
  "A11: %d boxes that come at once after a hub's death are all let in within a minute, at the hub's rate, and hardly ask again",
  (boxes) => {
    for (const seed of [1, 2, 3]) {
      const { seconds, mostASecond, knocksEach, mostKnocks } = storm(boxes, seed);
      expect(seconds).toBeLessThanOrEqual(60);
      expect(mostASecond).toBeLessThanOrEqual(LIVE_DEFAULTS.connects.perSecond + LIVE_DEFAULTS.connects.burst);
      expect(knocksEach).toBeLessThanOrEqual(3);
      expect(mostKnocks).toBeLessThanOrEqual(10);
    }
  },
);
