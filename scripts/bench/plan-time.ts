import type { ExpectedWorkload, ObservedWorkload } from "../../src/agent/reconcile/observed.ts";
import { planReconcile } from "../../src/agent/reconcile/plan.ts";
import { createUnit, toObserved } from "../../src/agent/reconcile/unit.ts";
import type { Measurement, Row } from "./measurement.ts";

const WORKLOADS = 1000;
const ROUNDS = 500;
const WARM_UP = 50;

export const planTime: Measurement = {
  name: "plan-time",
  limitMs: 60_000,
  measure: async () => [
    row("plan for 1 000 workloads, none of them changed", () => ({ seen: observe(0), wanted: expect(0) })),
    // A third each is unwanted, changed and new.
    row("plan for 1 000 workloads, all of them different", () => ({ seen: observe(0), wanted: expect(333, "new") })),
  ],
};

function row(
  what: string,
  world: () => { seen: ReadonlyMap<string, ObservedWorkload>; wanted: ReadonlyMap<string, ExpectedWorkload> },
): Row {
  const { seen, wanted } = world();
  const samples: number[] = [];
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    const startMs = performance.now();
    planReconcile(seen, wanted, 0);
    if (round >= 0) samples.push(performance.now() - startMs);
  }
  return { what, unit: "ms", samples, bar: { of: "p99", limit: 5 } };
}

function observe(from: number): ReadonlyMap<string, ObservedWorkload> {
  return new Map(
    ids(from).map((id) => {
      const unit = createUnit({ id, kind: "stream", sinceWallMs: 0 });
      unit.phase = "running";
      unit.specHash = `hash-${id}`;
      unit.holds = claimsOf("hash", id).map(({ key }) => key);
      return [id, toObserved(unit, { updateDeadlineMs: 20_000 })];
    }),
  );
}

function expect(from: number, change = "hash"): ReadonlyMap<string, ExpectedWorkload> {
  return new Map(
    ids(from).map((id) => {
      const claims = claimsOf(change, id);
      return [id, { specHash: `${change}-${id}`, isRefused: false, claims, mayOverlap: true }];
    }),
  );
}

/** A camera and a place to publish at. */
function claimsOf(change: string, id: string): NonNullable<ExpectedWorkload["claims"]> {
  return [
    { key: `camera:${id}`, kind: "camera", label: id, isExclusive: false },
    { key: `publishing point:${change}-${id}`, kind: "publishing point", label: id, isExclusive: true },
  ];
}

function ids(from: number): string[] {
  return Array.from({ length: WORKLOADS }, (_, index) => `camera-${from + index}`);
}
