import { describe, expect, test } from "vitest";
import type { Claim } from "../workload/driver.ts";
import type { ExpectedWorkload, ObservedSuccessor, ObservedWorkload } from "./observed.ts";
import { decideUpdate, type UpdateContext } from "./update-plan.ts";

const claim: Claim = { key: "new", kind: "publishing point", label: "new", isExclusive: true };
const WANTED: ExpectedWorkload = { specHash: "h2", isRefused: false, claims: [claim], mayOverlap: true };
const RUNS: ObservedWorkload = {
  specHash: "h1",
  phase: "running",
  holds: ["old"],
  fault: undefined,
  dueAtMs: undefined,
};
const NEXT: ObservedSuccessor = {
  specHash: "h2",
  phase: "running",
  holds: ["new"],
  fault: undefined,
  isProven: false,
  proveByMs: 150,
};
const CALM: UpdateContext = { nowMs: 100, blocked: undefined, mustYield: false };
const BLOCKED: UpdateContext = { ...CALM, blocked: { claim, holder: "b", isHeld: true } };

const decide = (seen: Partial<ObservedWorkload>, wanted: Partial<ExpectedWorkload> = {}, context = CALM) => {
  const { do: what, ...rest } = decideUpdate({ ...RUNS, ...seen }, { ...WANTED, ...wanted }, context);
  return [what, ...Object.values(rest)].join(" ");
};
const decideUnknown = () => {
  const { holds: _holds, ...unknown } = RUNS;
  return decideUpdate(unknown, WANTED, CALM).do;
};
const withNext = (next: Partial<ObservedSuccessor>) => ({ successor: { ...NEXT, ...next } });

describe("decideUpdate", () => {
  test.each([
    ["starts the new one beside the old one", decide({}), "succeed"],
    ["replaces where the spec or the box wants it so", decide({}, { mayOverlap: false }), "replace"],
    ["replaces where both need the same", decide({ holds: ["new"] }), "replace"],
    ["replaces where nobody knows what the old one uses", decideUnknown(), "replace"],
    ["replaces an old one that does no work", decide({ fault: "stalled" }), "replace"],
    ["replaces an old one that has not begun", decide({ phase: "launching" }), "replace"],
    ["lets the old one run while another has what the new one needs", decide({}, {}, BLOCKED), "wait"],
    ["yields in a circle", decide({}, {}, { ...BLOCKED, mustYield: true }), "replace"],
    ["waits after a failure", decide({ failedUpdate: { specHash: "h2", dueAtMs: 130 } }), "wait 130"],
    ["tries again when that time has come", decide({ failedUpdate: { specHash: "h2", dueAtMs: 100 } }), "succeed"],
    ["tries another wish at once", decide({ failedUpdate: { specHash: "h3", dueAtMs: 130 } }), "succeed"],
    ["waits for the proof", decide(withNext({})), "wait 150"],
    ["promotes what is proved", decide(withNext({ isProven: true })), "promote"],
    ["promotes what is not, where the old one does no work", decide({ fault: "stalled", ...withNext({}) }), "promote"],
    ["gives up what is not proved in time", decide(withNext({ proveByMs: 100 })), "abandon unproven"],
    ["gives up what is ill", decide(withNext({ fault: "stalled" })), "abandon unhealthy"],
    ["gives up what is not wanted any more", decide(withNext({ specHash: "h3" })), "abandon superseded"],
    [
      "gives up even what is proved, if something newer is wanted",
      decide(withNext({ specHash: "h3", isProven: true })),
      "abandon superseded",
    ],
    ["waits until one that was given up is gone", decide(withNext({ phase: "stopping", specHash: "h3" })), "wait"],
    ["has two processes at the most", decide({ predecessor: { ...RUNS, phase: "stopping" } }), "wait"],
    ["replaces beside one that cannot be killed", decide({ predecessor: { ...RUNS, phase: "unkillable" } }), "replace"],
  ])("%s", (_title, decision, expected) => {
    expect(decision).toBe(expected);
  });
});
