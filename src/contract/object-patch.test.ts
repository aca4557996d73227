import fc from "fast-check";
import { expect, test } from "vitest";
import { diffObjects, patchObject } from "./object-patch.ts";

const value = fc.letrec((tie) => ({
  leaf: fc.oneof(
    fc.integer(),
    fc.string({ maxLength: 3 }),
    fc.boolean(),
    fc.constant(null),
    fc.array(fc.integer(), { maxLength: 3 }),
  ),
  node: fc.dictionary(fc.constantFrom("a", "b", "c", "__proto__", "toString"), fc.oneof(tie("leaf"), tie("node")), {
    maxKeys: 4,
  }),
}));
const json = (given: unknown) => JSON.parse(JSON.stringify(given)) as Record<string, unknown>;

test("any object becomes any other by the patch between them, over JSON", () => {
  fc.assert(
    fc.property(value.node, value.node, (left, right) => {
      const [base, next] = [json(left), json(right)];
      const patch = diffObjects(base, next);
      expect(JSON.stringify(sorted(patch === undefined ? base : patchObject(base, json(patch))))).toBe(
        JSON.stringify(sorted(next)),
      );
      expect(diffObjects(next, json(next))).toBe(undefined);
    }),
    { numRuns: 2000 },
  );
  expect(({} as Record<string, unknown>)["a"]).toBe(undefined);
});

test("only what differs is in a patch, and null is a value", () => {
  const base = {
    state: "running",
    cause: "x",
    exit: { code: 1, class: "a" },
    gaps: [1, 2],
    media: { fps: 25, frames: 1 },
  };
  const next = { state: "running", exit: { code: null, class: "a" }, gaps: [1, 2], media: { fps: 25, frames: 2 } };
  expect(diffObjects(base, next)).toEqual({ exit: { code: null }, media: { frames: 2 }, $removed: ["cause"] });
  expect(diffObjects({ a: undefined, b: 1 }, { b: 1, c: undefined })).toBe(undefined);
});

function sorted(given: unknown): unknown {
  if (typeof given !== "object" || given === null || Array.isArray(given)) return given;
  return Object.entries(given)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, inner]) => [name, sorted(inner)]);
}
