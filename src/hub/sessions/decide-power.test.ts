import { expect, test } from "vitest";
import { SESSION_STATES, type SessionState } from "../../contract/fleet/session.ts";
import { decideHibernate, decideWake, type PowerSight, requireTouchable } from "./decide-power.ts";

const AWAKE = { state: "running", turn: 4 } as const;
const ASLEEP = { state: "hibernated", turn: 4 } as const;
const sleep = { depth: "stopped", since: "", because: "idle" } as const;

function outcome(decide: (sight: PowerSight) => unknown, sight: Omit<PowerSight, "id">): unknown {
  try {
    const decided = decide({ id: "web", ...sight });
    return decided === sight.power ? "same" : decided;
  } catch (thrown) {
    return String(thrown).replace(/^\w+: /, "");
  }
}
const table = (decide: (sight: PowerSight) => unknown, power: PowerSight["power"]) =>
  Object.fromEntries(SESSION_STATES.map((state) => [state, outcome(decide, { state, power })]));
const next = (state: "running" | "hibernated") => ({ state, turn: 5 });
const no = (state: SessionState, allowed: string) => `session web is ${state}; allowed: ${allowed}`;
const RUNS = "one that runs";
const RESTS = "one that is hibernated or has ended";

test("hibernating makes sense of what runs or is to run, is the same thing twice, and is refused with the state of all else", () => {
  const asked = next("hibernated");
  expect(table(decideHibernate, AWAKE)).toEqual({
    unplaced: no("unplaced", RUNS),
    pending: asked,
    starting: asked,
    running: asked,
    degraded: asked,
    failing: asked,
    refused: no("refused", RUNS),
    hibernating: asked,
    // Of its own accord: from now on somebody wants it so.
    hibernated: asked,
    waking: asked,
    ended: no("ended", RUNS),
    stopping: no("stopping", RUNS),
    lost: asked,
  });
  const twice = table(decideHibernate, ASLEEP);
  expect(Object.entries(twice).filter(([, answer]) => answer !== "same")).toEqual([["stopping", no("stopping", RUNS)]]);
});

test("waking makes sense of what sleeps, has ended or fails, leaves what runs as it is, and is refused where nothing would come of it", () => {
  const asked = next("running");
  expect(table(decideWake, AWAKE)).toEqual({
    unplaced: "same",
    pending: "same",
    starting: "same",
    running: "same",
    degraded: "same",
    failing: asked,
    refused: no("refused", RESTS),
    hibernating: "same",
    hibernated: asked,
    waking: "same",
    ended: asked,
    stopping: no("stopping", RESTS),
    lost: "same",
  });
  expect(outcome(decideWake, { state: "hibernated", power: ASLEEP })).toEqual(asked);
  expect(outcome(decideWake, { state: "lost", power: ASLEEP })).toEqual(asked);
});

test("who fell asleep by itself is woken once, however often it is asked before its box has heard", () => {
  const state = "hibernated";
  expect(outcome(decideWake, { state, power: AWAKE, session: { turn: 4, sleep } })).toEqual(next("running"));
  expect(outcome(decideWake, { state, power: { state: "running", turn: 5 }, session: { turn: 4, sleep } })).toBe(
    "same",
  );
});

test("a wish is always later than any that its box has heard of", () => {
  const heard = { turn: 9, sleep };
  expect(outcome(decideWake, { state: "hibernated", power: AWAKE, session: heard })).toEqual({
    state: "running",
    turn: 10,
  });
  expect(outcome(decideHibernate, { state: "running", power: AWAKE, session: heard })).toEqual({
    state: "hibernated",
    turn: 10,
  });
});

test("only what runs, or is about to, can be said to be in use", () => {
  const can = SESSION_STATES.filter((state) => outcome(requireTouchable, { state, power: AWAKE }) === undefined);
  expect(can).toEqual(["starting", "running", "degraded", "waking"]);
  expect(outcome(requireTouchable, { state: "unplaced", reason: "there is no box", power: AWAKE })).toBe(
    "session web is unplaced (there is no box); allowed: one that runs",
  );
});
