import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { seededRandom } from "../../base/random.ts";
import { LIVE_DEFAULTS } from "../live.ts";
import { createConnectGate } from "./connect-gate.ts";

const { perSecond, burst } = LIVE_DEFAULTS.connects;
/** The first delay of an agent, with full jitter: it waits for that at least, and for what it was told. */
const OWN_MS = 5000;

/** Boxes that all come within a second; each comes back as an agent does: when it was told to, up to a tenth later. */
async function storm(boxes: number, seed: number) {
  const random = seededRandom(seed);
  const clock = createFakeClock(0);
  const startedMs = clock.monotonicMs();
  const gate = createConnectGate(LIVE_DEFAULTS.connects, { clock, random });
  let waiting = Array.from({ length: boxes }, (_, n) => ({ id: `b${n}`, dueMs: random() * 1000, knocks: 0 }));
  const admitted: { readonly atMs: number; readonly knocks: number }[] = [];
  while (waiting.length > 0) {
    waiting.sort((one, other) => one.dueMs - other.dueMs);
    const [first] = waiting;
    // Nobody who is turned away comes back within a second: so far nothing can come in between.
    const untilMs = (first?.dueMs ?? 0) + 1000;
    const later: typeof waiting = [];
    for (const one of waiting) {
      if (one.dueMs >= untilMs) {
        later.push(one);
        continue;
      }
      await clock.advance(Math.max(0, one.dueMs - (clock.monotonicMs() - startedMs)));
      const seconds = gate.knock(one.id);
      const knocks = one.knocks + 1;
      if (seconds === undefined) admitted.push({ atMs: one.dueMs, knocks });
      else {
        const waitMs = Math.max(random() * OWN_MS, seconds * 1000 * (1 + random() / 10));
        later.push({ id: one.id, dueMs: one.dueMs + waitMs, knocks });
      }
    }
    waiting = later;
  }
  const bySecond = Map.groupBy(admitted, ({ atMs }) => Math.floor(atMs / 1000));
  return {
    seconds: Math.max(...admitted.map(({ atMs }) => atMs)) / 1000,
    mostASecond: Math.max(...[...bySecond.values()].map(({ length }) => length)),
    mostKnocks: Math.max(...admitted.map(({ knocks }) => knocks)),
  };
}

test.each([5000, 10_000])(
  "A11: %d boxes that come at once after a hub's death are let in at the hub's rate, as soon as that allows, and are turned away once",
  async (boxes) => {
    for (const seed of [1, 2, 3]) {
      const { seconds, mostASecond, mostKnocks } = await storm(boxes, seed);
      // The last time that is given out, a tenth of it, and the last box's own delay.
      expect(seconds).toBeLessThanOrEqual((boxes / perSecond) * 1.1 + OWN_MS / 1000);
      expect(mostASecond).toBeLessThanOrEqual(perSecond + burst);
      expect(mostKnocks).toBeLessThanOrEqual(2);
    }
  },
);

function fullGate() {
  const clock = createFakeClock(0);
  const gate = createConnectGate({ perSecond: 10, burst: 5 }, { clock, random: () => 0.5 });
  for (let n = 0; n < 5; n++) expect(gate.knock(`first-${n}`)).toBeUndefined();
  return { clock, gate };
}

test("a time that was given out is kept for its box, and who comes before it is told the rest", async () => {
  const { clock, gate } = fullGate();
  const told = Array.from({ length: 40 }, (_, n) => gate.knock(`late-${n}`));
  expect([told[0], told.at(-1)]).toEqual([1, 4]);
  await clock.advance(2000);
  expect(gate.knock("late-39")).toBe(2);
  expect(gate.knock("another")).toBe(2);
  expect(gate.knock("late-0")).toBeUndefined();
  await clock.advance(2000);
  expect(gate.knock("late-39")).toBeUndefined();
  expect(gate.turnedAway()).toBe(42);
});

test("a box that stays away gives its time back, and then there is room for a burst again", async () => {
  const { clock, gate } = fullGate();
  expect(gate.knock("gone")).toBe(1);
  await clock.advance(400_000);
  for (let n = 0; n < 5; n++) expect(gate.knock(`next-${n}`)).toBeUndefined();
  expect(gate.knock("gone")).toBe(1);
});
