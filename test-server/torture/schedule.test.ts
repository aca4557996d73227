import { expect, test } from "vitest";
import type { Action } from "./action.ts";
import { FEWEST_STREAMS } from "./draw-action.ts";
import { type Step, torturePlan } from "./schedule.ts";

const ROOT = { disk: true, network: true };

function firstSteps(seed: number, count: number, abilities = ROOT): readonly Step[] {
  const steps: Step[] = [];
  for (const step of torturePlan({ seed, streams: 6, abilities })) {
    steps.push(step);
    if (steps.length === count) break;
  }
  return steps;
}

function kindsOf(steps: readonly Step[]): ReadonlySet<Action["kind"]> {
  return new Set(steps.flatMap(({ actions }) => actions.map(({ action }) => action.kind)));
}

test("the same seed gives the same steps, and another seed others", () => {
  expect(firstSteps(7, 300)).toEqual(firstSteps(7, 300));
  expect(firstSteps(7, 20)).not.toEqual(firstSteps(8, 20));
});

test("every kind of action comes up", () => {
  expect([...kindsOf(firstSteps(1, 1000))].sort()).toEqual(
    [
      ...["agent-end", "agent-freeze", "agent-second", "change", "clock", "disk", "fault", "ffmpeg", "network", "put"],
      ...["remove", "send", "server-freeze", "server-kill", "shrink", "stray"],
    ].sort(),
  );
});

test("what the machine does not allow does not come up", () => {
  const kinds = kindsOf(firstSteps(1, 1000, { disk: false, network: false }));
  expect(kinds.has("disk")).toBe(false);
  expect(kinds.has("network")).toBe(false);
  expect(kinds.has("stray")).toBe(true);
});

test.each([1, 2, 3, 4, 5])(
  "with seed %i there are always enough streams for a shrink to be held, and not too many",
  (seed) => {
    for (const { expected } of firstSteps(seed, 500)) {
      expect(expected.length).toBeGreaterThanOrEqual(FEWEST_STREAMS);
      expect(expected.length).toBeLessThanOrEqual(8);
      expect(new Set(expected.map(({ id }) => id)).size).toBe(expected.length);
    }
  },
);

test("what takes the server away comes last, after all that needs it", () => {
  for (const { actions } of firstSteps(3, 500)) {
    const kinds = actions.map(({ action }) => action.kind);
    const peer = kinds.findIndex((kind) => kind === "network" || kind.startsWith("server-"));
    expect([-1, kinds.length - 1]).toContain(peer);
  }
});
