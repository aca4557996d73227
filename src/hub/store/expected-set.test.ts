import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { applyDiff, decideChange, decideReplacement, type ExpectedEntry } from "./expected-set.ts";
import { stream } from "./store.fake.ts";

const entry = fc
  .record({
    id: fc.constantFrom("a", "b", "c", "d"),
    input: fc.constantFrom("rtsp://x/1", "rtsp://x/2"),
    isHibernated: fc.boolean(),
  })
  .map(
    ({ id, input, isHibernated }): ExpectedEntry => ({
      ...stream(id, input),
      desired: isHibernated ? "hibernated" : "running",
    }),
  );
const set = fc.uniqueArray(entry, { selector: ({ workload }) => workload.id });
const owner = fc.constantFrom(undefined, "rollout/r");

function owned(entries: readonly ExpectedEntry[], by: string | undefined): ExpectedEntry[] {
  return entries.map((one) => (by === undefined ? one : { ...one, owner: by }));
}

function byId(entries: readonly ExpectedEntry[]): ExpectedEntry[] {
  return entries.toSorted((one, other) => (one.workload.id < other.workload.id ? -1 : 1));
}

describe("a replacement", () => {
  test("that takes over makes the set exactly what was asked, whatever it was before", () => {
    fc.assert(
      fc.property(set, set, owner, owner, (before, wanted, heldBy, by) => {
        const diff = decideReplacement(owned(before, heldBy), wanted, { owner: by, takeOver: true });
        expect(applyDiff(byId(owned(before, heldBy)), diff)).toEqual(byId(owned(wanted, by)));
      }),
    );
  });

  test("asked for twice changes nothing the second time", () => {
    fc.assert(
      fc.property(set, set, owner, (before, wanted, by) => {
        const once = applyDiff(before, decideReplacement(before, wanted, { owner: by, takeOver: true }));
        expect(decideReplacement(once, wanted, { owner: by, takeOver: true })).toEqual({ put: [], remove: [] });
      }),
    );
  });

  test("never touches what another owner has", () => {
    fc.assert(
      fc.property(set, set, (mine, theirs) => {
        const others = owned(theirs, "rollout/r").map((one) => ({
          ...one,
          workload: { ...one.workload, id: `r-${one.workload.id}` },
        }));
        const after = applyDiff([...mine, ...others], decideReplacement([...mine, ...others], [], {}));
        expect(after).toEqual(byId(others));
      }),
    );
  });
});

test("changes replayed one after the other give the set that they led to", () => {
  fc.assert(
    fc.property(fc.array(set, { maxLength: 8 }), (sets) => {
      let held: readonly ExpectedEntry[] = [];
      const diffs = sets.map((wanted) => {
        const diff = decideReplacement(held, wanted, {});
        held = applyDiff(held, diff);
        return diff;
      });
      expect(diffs.reduce<readonly ExpectedEntry[]>((entries, diff) => applyDiff(entries, diff), [])).toEqual(held);
    }),
  );
});

test("the order in which fields were written is no difference", () => {
  const { workload } = stream("a");
  const turned = Object.fromEntries(Object.entries(workload).reverse()) as typeof workload;
  const change = decideChange([stream("a")], { put: [{ desired: "running", workload: turned }] });
  expect(change.put).toEqual([]);
});

test("a workload that is both put and removed is refused by name", () => {
  expect(() => decideChange([], { put: [stream("a")], remove: ["a"] })).toThrowError(
    /workload a is both put and removed/,
  );
});
