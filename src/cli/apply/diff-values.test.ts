import fc from "fast-check";
import { expect, test } from "vitest";
import { diffValues } from "./diff-values.ts";

test.each([
  [{ a: 1 }, { a: 1 }, []],
  [{ a: 1, b: undefined }, { a: 1 }, []],
  [{ a: 1 }, { a: 2 }, [{ path: "a", from: 1, to: 2 }]],
  [
    { a: { b: 1 } },
    { a: { c: 2 } },
    [
      { path: "a.b", from: 1 },
      { path: "a.c", to: 2 },
    ],
  ],
  [{ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] }, [{ path: "a[1].b", from: 2, to: 3 }]],
  [{ a: [1] }, { a: [1, 2] }, [{ path: "a", from: [1], to: [1, 2] }]],
  [{ a: "copy" }, { a: { encoder: "x" } }, [{ path: "a", from: "copy", to: { encoder: "x" } }]],
  [undefined, { a: 1 }, [{ path: "", to: { a: 1 } }]],
])("%j to %j", (from, to, changes) => {
  expect(diffValues(from, to)).toEqual(changes);
});

test("equal values have no difference, and a difference has two sides", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (left, right) => {
      expect(diffValues(left, structuredClone(left))).toEqual([]);
      expect(diffValues(left, right).length).toBe(diffValues(right, left).length);
    }),
  );
});
