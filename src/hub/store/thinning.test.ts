import fc from "fast-check";
import { expect, test } from "vitest";
import { type ClosedPoint, type Sample, type SeriesStep, STEP_MS, type Thinning, thin } from "./thinning.ts";

const samples = fc.array(
  fc.record({
    atMs: fc.integer({ min: 0, max: 3_600_000 }),
    values: fc.record({ cpu: fc.integer({ min: 0, max: 100 }) }),
  }),
  { maxLength: 60 },
);

function feed(parts: readonly (readonly Sample[])[]): {
  readonly open: Thinning | undefined;
  readonly closed: readonly ClosedPoint[];
} {
  let open: Thinning | undefined;
  const closed: ClosedPoint[] = [];
  for (const part of parts) {
    const next = thin(open, part);
    open = next.open;
    closed.push(...next.closed);
  }
  return { open, closed };
}

test("the closed buckets of each step come in the order of time, each once, whatever order the samples have", () => {
  fc.assert(
    fc.property(fc.array(samples, { maxLength: 5 }), (parts) => {
      const { closed, open } = feed(parts);
      for (const step of ["15s", "1m", "15m"] satisfies SeriesStep[]) {
        const starts = closed.filter((point) => point.step === step).map(({ point }) => point.atMs);
        expect(starts).toEqual([...new Set(starts)].sort((one, other) => one - other));
        for (const start of starts) {
          expect(start % STEP_MS[step]).toBe(0);
          expect(start).toBeLessThan(open?.[step]?.startMs ?? 0);
        }
      }
    }),
  );
});

test("no sample that comes in order is lost or counted twice, however it is cut into parts", () => {
  fc.assert(
    fc.property(samples, fc.integer({ min: 1, max: 7 }), (all, size) => {
      const ordered = all.toSorted((one, other) => one.atMs - other.atMs);
      const parts = Array.from({ length: Math.ceil(ordered.length / size) }, (_, n) =>
        ordered.slice(n * size, n * size + size),
      );
      expect(feed(parts)).toEqual(feed([...ordered.map((sample) => [sample])]));
      expect(feed(parts).open ?? {}).toEqual(feed([ordered]).open ?? {});
    }),
  );
});

test("a figure that is no number is left out, and one that was away is judged over the samples that had it", () => {
  const { open } = thin(undefined, [
    { atMs: 0, values: { cpu: Number.NaN, fps: 20 } },
    { atMs: 1000, values: { fps: 30 } },
    { atMs: 2000, values: { cpu: 5 } },
  ]);
  expect(open["15s"]?.sums).toEqual({
    fps: [2, 50, 20, 30],
    cpu: [1, 5, 5, 5],
  });
});

test("a figure may have any name", () => {
  const values = JSON.parse('{"__proto__": 3, "constructor": 4}');
  const { open } = thin(undefined, [{ atMs: 0, values }]);
  expect(Object.entries(open["15s"]?.sums ?? {}).map(([name, [, sum]]) => [name, sum])).toEqual([
    ["__proto__", 3],
    ["constructor", 4],
  ]);
});
