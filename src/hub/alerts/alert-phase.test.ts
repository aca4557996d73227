import { expect, test } from "vitest";
import { type AlertStep, nextAlertStep } from "./alert-phase.ts";

const limits = { forMs: 60_000, clearMs: 120_000 };
const condition = { text: "it is so", heldMs: 0 };

/** Steps once a second while `holds` says so; what was told, with the second. */
function told(seconds: number, holds: (second: number) => boolean): [number, string][] {
  let held: { phase: "pending" | "firing" | "clearing" | "quiet"; sinceMs: number; text: string } | undefined;
  const messages: [number, string][] = [];
  for (let second = 0; second < seconds; second++) {
    const nowMs = second * 1000;
    const step: AlertStep = nextAlertStep(held, holds(second) ? condition : undefined, { nowMs, ...limits });
    if (step.kind === "drop") held = undefined;
    if (step.kind === "move") {
      held = step.phase === "quiet" ? undefined : { phase: step.phase, sinceMs: nowMs, text: step.text };
      if (step.tell !== undefined) messages.push([second, step.tell]);
    }
  }
  return messages;
}

test("an alert fires after its time and ends after its time", () => {
  expect(told(400, (second) => second >= 10 && second < 200)).toEqual([
    [70, "fired"],
    [320, "ended"],
  ]);
});

test("what is over before its time is told to nobody", () => {
  expect(told(400, (second) => second % 100 < 50)).toEqual([]);
});

test("A24: a condition that comes and goes with 40 % of the heartbeats is one alert", () => {
  let seed = 3;
  const lost = Array.from({ length: 400 }, () => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed / 2 ** 31 < 0.4;
  });
  const messages = told(3600, (second) => second < 100 || lost[Math.floor(second / 15)] === true);
  expect(messages.filter(([, tell]) => tell === "fired").length).toBe(1);
});

test("a condition that the box measured as long enough fires at once, and no time means at once", () => {
  expect(nextAlertStep(undefined, { text: "gap", heldMs: 61_000 }, { nowMs: 0, ...limits })).toMatchObject({
    tell: "fired",
  });
  expect(nextAlertStep(undefined, condition, { nowMs: 0, forMs: 0, clearMs: 0 })).toMatchObject({ tell: "fired" });
});

test("a hub clock that goes back delays an alert and never fires it early", () => {
  const held = { phase: "pending", sinceMs: 100_000, text: "" } as const;
  expect(nextAlertStep(held, condition, { nowMs: 40_000, ...limits })).toEqual({ kind: "stay" });
});
