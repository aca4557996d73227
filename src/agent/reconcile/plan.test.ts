import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Claim } from "../workload/driver.ts";
import type { ExpectedWorkload, ObservedProcess, ObservedWorkload } from "./observed.ts";
import { planReconcile, type Step } from "./plan.ts";

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
    title: "stops what is to sleep, and remembers it",
    observed: seen("running"),
    expected: { ...wanted(), rest: "hibernated" },
    steps: [{ kind: "stop", id: "a", reason: "hibernated" }],
  },
  {
    title: "starts nothing that sleeps, though its settings have changed",
    observed: seen("waiting", { dueAtMs: 0 }),
    expected: { ...wanted("h2"), rest: "hibernated" },
    steps: [],
  },
  {
    title: "starts nothing that was asleep before it was ever started",
    observed: undefined,
    expected: { ...wanted(), rest: "hibernated" },
    steps: [],
  },
  {
    title: "starts what has woken",
    observed: seen("waiting", { dueAtMs: 0 }),
    expected: wanted(),
    steps: [{ kind: "start", id: "a", isChanged: false }],
  },
  {
    title: "ends what has had its time, and starts it no more",
    observed: seen("launching"),
    expected: { ...wanted(), rest: "ended" },
    steps: [{ kind: "stop", id: "a", reason: "ended" }],
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
    expect(plan).toEqual({ steps, kept, nextDueAtMs, blocked: new Map() });
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

  test("carried out, any plan ends settled, with what is expected, and never gives one thing to two", () => {
    const phase = fc.constantFrom<ObservedWorkload["phase"]>("launching", "running", "stopping", "waiting");
    const hash = fc.constantFrom("h1", "h2");
    const key = fc.constantFrom("a", "b", "c", "d", "e", "f");
    // Some of what they use meets in pairs, and each new self of a workload differs from its old one in half of it.
    const place = fc.constantFrom("p1", "p2", "p3", "p4", "p5", "p6");
    const observedMaps = fc.dictionary(
      key,
      fc.record({
        phase,
        specHash: hash,
        holds: fc.option(fc.uniqueArray(place, { maxLength: 2 }), { nil: undefined }),
        fault: fc.option(fc.constant("bad"), { nil: undefined }),
        proves: fc.boolean(),
      }),
    );
    const expectedMaps = fc.dictionary(
      key,
      fc.record({
        specHash: hash,
        isRefused: fc.boolean(),
        mayOverlap: fc.boolean(),
        claims: fc.uniqueArray(place, { maxLength: 2 }).map((keys) => keys.map(claimOf)),
      }),
    );
    fc.assert(
      fc.property(observedMaps, expectedMaps, (observedRecord, expectedRecord) => {
        const proving = new Map(Object.entries(observedRecord).map(([id, { proves }]) => [id, proves]));
        const taken = new Set<string>();
        const world = new Map(
          Object.entries(observedRecord).map(([id, { proves: _proves, holds, ...entry }]) => {
            // What runs at the beginning got it in a world that kept the rule.
            const own = entry.phase === "waiting" ? [] : (holds ?? []).filter((one) => !taken.has(one));
            for (const one of own) taken.add(one);
            return [id, seen(entry.phase, { ...entry, ...(holds === undefined ? {} : { holds: own }) })];
          }),
        );
        const expected = new Map<string, ExpectedWorkload>(Object.entries(expectedRecord));
        for (let lap = 0; lap < 14; lap++) {
          for (const step of planReconcile(world, expected, lap * 1000).steps) carryOut(world, expected, step);
          endTransitions(world, proving, lap * 1000);
          expectNoSharing(world, taken);
        }
        expect(planReconcile(world, expected, 14_000).steps.filter(({ kind }) => kind !== "succeed")).toEqual([]);
        const { blocked } = planReconcile(world, expected, 14_000);
        for (const [id, wanted] of expected) {
          const found = world.get(id);
          if (wanted.isRefused) expect(found, id).toBeUndefined();
          else if (!blocked.has(id) && found?.phase === "running" && found.specHash !== wanted.specHash) {
            // It goes on as it was, because its new self never proves itself.
            expect(proving.get(id), id).toBe(false);
          } else if (!blocked.has(id)) expect(found, id).toMatchObject({ phase: "running", specHash: wanted.specHash });
          else expect(world.get(blocked.get(id)?.holder ?? ""), id).toMatchObject({ phase: "running" });
        }
        for (const id of world.keys()) expect(expected.has(id), id).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

const claimOf = (key: string): Claim => ({ key, kind: "publishing point", label: key, isExclusive: true });

/** As transitions would: a stop goes through `stopping`, a start through `launching`. */
function carryOut(world: Map<string, ObservedWorkload>, expected: ReadonlyMap<string, ExpectedWorkload>, step: Step) {
  const found = world.get(step.id);
  const wanted = expected.get(step.id);
  const begun = {
    specHash: wanted?.specHash ?? "",
    holds: wanted?.claims?.map(({ key }) => key) ?? [],
    phase: "launching",
    fault: undefined,
  } as const;
  switch (step.kind) {
    case "forget":
      world.delete(step.id);
      return;
    case "start":
      world.set(step.id, { ...begun, dueAtMs: undefined });
      return;
    case "stop":
      if (found !== undefined) world.set(step.id, { ...found, phase: "stopping" });
      return;
    case "succeed":
      if (found !== undefined) {
        world.set(step.id, { ...found, successor: { ...begun, isProven: false, proveByMs: Number.POSITIVE_INFINITY } });
      }
      return;
    case "abandon":
      if (found?.successor !== undefined) {
        world.set(step.id, { ...found, successor: { ...found.successor, phase: "stopping" } });
      }
      return;
    case "promote": {
      if (found?.successor === undefined) return;
      const { successor, ...old } = found;
      const { isProven: _isProven, proveByMs: _proveByMs, ...own } = successor;
      const predecessor = old.phase === "waiting" ? undefined : { ...old, phase: "stopping" as const };
      world.set(step.id, { ...own, dueAtMs: undefined, predecessor });
    }
  }
}

/** Between laps every transition ends, and successors that can prove themselves do. */
function endTransitions(world: Map<string, ObservedWorkload>, proving: ReadonlyMap<string, boolean>, nowMs: number) {
  for (const [id, entry] of world) {
    const { successor, predecessor: _gone, ...own } = entry;
    const phase = own.phase === "stopping" ? "waiting" : own.phase === "launching" ? "running" : own.phase;
    const isProven = proving.get(id) !== false;
    const next =
      successor === undefined || successor.phase === "stopping"
        ? undefined
        : { ...successor, phase: "running" as const, isProven, proveByMs: nowMs };
    const hasFailed = successor?.phase === "stopping";
    world.set(id, {
      ...own,
      phase,
      dueAtMs: phase === "waiting" ? 0 : undefined,
      ...(next === undefined ? {} : { successor: next }),
      ...(hasFailed ? { failedUpdate: { specHash: successor.specHash, dueAtMs: Number.POSITIVE_INFINITY } } : {}),
    });
  }
}

function expectNoSharing(world: ReadonlyMap<string, ObservedWorkload>, known: ReadonlySet<string>) {
  const held = new Set<string>();
  for (const seen of world.values()) {
    for (const { holds = [] } of processesOf(seen)) {
      for (const key of holds) {
        expect(held.has(key), `${key} of ${[...known]}`).toBe(false);
        held.add(key);
      }
    }
  }
}

/** The processes of a workload that are or will be there: a launch counts from its first moment. */
function processesOf(seen: ObservedWorkload): readonly ObservedProcess[] {
  const all = [seen, seen.successor, seen.predecessor];
  return all.filter((process): process is ObservedProcess => process !== undefined && process.phase !== "waiting");
}

describe("who has given way", () => {
  test("ends with its successor", () => {
    const successor = { ...seen("running", { specHash: "h2" }), isProven: false, proveByMs: 9000 };
    const plan = planReconcile(
      new Map([["a", seen("running", { successor })]]),
      new Map([["a", { ...wanted("h2"), isShed: true }]]),
      0,
    );
    expect(plan.steps).toEqual([
      { kind: "abandon", id: "a", reason: "shed" },
      { kind: "stop", id: "a", reason: "shed" },
    ]);
  });

  test("claims nothing that another waits for", () => {
    const claims = [{ kind: "publishing point", key: "point:x", label: "x", isExclusive: true }] as const;
    const plan = planReconcile(
      new Map([["a", seen("waiting", { dueAtMs: 0 })]]),
      new Map([
        ["a", { ...wanted(), isShed: true, claims }],
        ["b", { ...wanted(), claims }],
      ]),
      0,
    );
    expect(plan.steps).toEqual([{ kind: "start", id: "b", isChanged: false }]);
  });
});
