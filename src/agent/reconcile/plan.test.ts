import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ExpectedWorkload, type ObservedWorkload, planReconcile, type Step } from "./plan.ts";

const seen = (phase: ObservedWorkload["phase"], extra: Partial<ObservedWorkload> = {}): ObservedWorkload => ({
  specHash: "h1",
  phase,
  dueAtMs: undefined,
  fault: undefined,
  ...extra,
});
const wanted = (specHash = "h1", isRefused = false): ExpectedWorkload => ({ specHash, isRefused });

const CASES: readonly {
  readonly title: string;
  readonly observed: ObservedWorkload | undefined;
  readonly expected: ExpectedWorkload | undefined;
  readonly steps: readonly Step[];
  readonly kept?: readonly string[];
  readonly nextDueAtMs?: number;
}[] = [
  {
    title: "starts what is expected and absent",
    observed: undefined,
    expected: wanted(),
    steps: [{ kind: "start", id: "a", isChanged: false }],
  },
  { title: "keeps what runs as expected", observed: seen("running"), expected: wanted(), steps: [], kept: ["a"] },
  {
    title: "keeps what is being launched as expected",
    observed: seen("launching"),
    expected: wanted(),
    steps: [],
    kept: ["a"],
  },
  {
    title: "stops what must give way",
    observed: seen("running"),
    expected: { ...wanted(), isShed: true },
    steps: [{ kind: "stop", id: "a", reason: "shed" }],
  },
  {
    title: "ends the launch of what must give way",
    observed: seen("launching"),
    expected: { ...wanted("h2"), isShed: true },
    steps: [{ kind: "stop", id: "a", reason: "shed" }],
  },
  {
    title: "starts nothing that has given way, however long it is due",
    observed: seen("waiting", { dueAtMs: 0 }),
    expected: { ...wanted(), isShed: true },
    steps: [],
  },
  {
    title: "starts nothing new that would have to give way",
    observed: undefined,
    expected: { ...wanted(), isShed: true },
    steps: [],
  },
  {
    title: "stops what nothing expects",
    observed: seen("running"),
    expected: undefined,
    steps: [{ kind: "stop", id: "a", reason: "not-expected" }],
  },
  {
    title: "leaves alone what nobody can say whether it is expected",
    observed: seen("running", { isUnexplained: true }),
    expected: undefined,
    steps: [],
  },
  {
    title: "replaces what is expected in another way, although nothing explained it before",
    observed: seen("running", { isUnexplained: true }),
    expected: wanted("h2"),
    steps: [{ kind: "stop", id: "a", reason: "changed" }],
  },
  {
    title: "ends a launch that nothing expects",
    observed: seen("launching"),
    expected: undefined,
    steps: [{ kind: "stop", id: "a", reason: "not-expected" }],
  },
  {
    title: "forgets what waits and nothing expects",
    observed: seen("waiting"),
    expected: undefined,
    steps: [{ kind: "forget", id: "a" }],
  },
  {
    title: "stops what is refused",
    observed: seen("running"),
    expected: wanted("h1", true),
    steps: [{ kind: "stop", id: "a", reason: "refused" }],
  },
  {
    title: "forgets what waits and is refused",
    observed: seen("waiting"),
    expected: wanted("h1", true),
    steps: [{ kind: "forget", id: "a" }],
  },
  { title: "starts nothing that is refused", observed: undefined, expected: wanted("h1", true), steps: [] },
  {
    title: "stops what has changed",
    observed: seen("running"),
    expected: wanted("h2"),
    steps: [{ kind: "stop", id: "a", reason: "changed" }],
  },
  {
    title: "stops what is unhealthy",
    observed: seen("running", { fault: "stalled" }),
    expected: wanted(),
    steps: [{ kind: "stop", id: "a", reason: "unhealthy" }],
  },
  {
    title: "starts what waits and is due",
    observed: seen("waiting", { dueAtMs: 100 }),
    expected: wanted(),
    steps: [{ kind: "start", id: "a", isChanged: false }],
  },
  {
    title: "waits for what is not due",
    observed: seen("waiting", { dueAtMs: 101 }),
    expected: wanted(),
    steps: [],
    nextDueAtMs: 101,
  },
  {
    title: "does not wait for what has changed",
    observed: seen("waiting", { dueAtMs: 101 }),
    expected: wanted("h2"),
    steps: [{ kind: "start", id: "a", isChanged: true }],
  },
  {
    title: "leaves what is stopping alone, expected or not",
    observed: seen("stopping"),
    expected: wanted(),
    steps: [],
  },
  {
    title: "leaves what is stopping alone when nothing expects it",
    observed: seen("stopping"),
    expected: undefined,
    steps: [],
  },
  {
    title: "starts nothing beside what cannot be killed",
    observed: seen("unkillable"),
    expected: wanted("h2"),
    steps: [],
  },
];

describe("planReconcile", () => {
  test.each(CASES)("$title", ({ observed, expected, steps, kept = [], nextDueAtMs }) => {
    const plan = planReconcile(
      new Map(observed === undefined ? [] : [["a", observed]]),
      new Map(expected === undefined ? [] : [["a", expected]]),
      100,
    );
    expect(plan).toEqual({ steps, kept, nextDueAtMs });
  });

  test("stops before it starts, in the order of ids", () => {
    const observed = new Map([
      ["z", seen("running")],
      ["b", seen("running")],
    ]);
    const expected = new Map([
      ["y", wanted()],
      ["a", wanted()],
    ]);
    expect(planReconcile(observed, expected, 0).steps.map(({ kind, id }) => `${kind} ${id}`)).toEqual([
      "stop b",
      "stop z",
      "start a",
      "start y",
    ]);
  });

  test("carried out, any plan ends settled and matches what is expected", () => {
    const phase = fc.constantFrom<ObservedWorkload["phase"]>("launching", "running", "stopping", "waiting");
    const hash = fc.constantFrom("h1", "h2");
    const key = fc.constantFrom("a", "b", "c", "d", "e", "f");
    const observedMaps = fc.dictionary(
      key,
      fc.record({ phase, specHash: hash, fault: fc.option(fc.constant("bad"), { nil: undefined }) }),
    );
    const expectedMaps = fc.dictionary(key, fc.record({ specHash: hash, isRefused: fc.boolean() }));
    fc.assert(
      fc.property(observedMaps, expectedMaps, (observedRecord, expectedRecord) => {
        const world = new Map(Object.entries(observedRecord).map(([id, entry]) => [id, seen(entry.phase, entry)]));
        const expected = new Map(Object.entries(expectedRecord));
        for (let lap = 0; lap < 6; lap++) {
          for (const step of planReconcile(world, expected, lap * 1000).steps) {
            if (step.kind === "start")
              world.set(step.id, seen("running", { specHash: expected.get(step.id)?.specHash ?? "" }));
            else if (step.kind === "forget") world.delete(step.id);
            else if (step.reason === "not-expected" || step.reason === "refused") world.delete(step.id);
            else world.set(step.id, seen("waiting", { dueAtMs: 0 }));
          }
          // Transitions end between laps.
          for (const [id, entry] of world) {
            if (entry.phase === "stopping") world.set(id, seen("waiting", { dueAtMs: 0 }));
            if (entry.phase === "launching") world.set(id, { ...entry, phase: "running" });
          }
        }
        expect(planReconcile(world, expected, 9000).steps).toEqual([]);
        const runs = [...world]
          .filter(([, entry]) => entry.phase === "running")
          .map(([id, entry]) => `${id} ${entry.specHash}`);
        const should = [...expected]
          .filter(([, entry]) => !entry.isRefused)
          .map(([id, entry]) => `${id} ${entry.specHash}`);
        expect(runs.sort()).toEqual(should.sort());
      }),
      { numRuns: 300 },
    );
  });
});
