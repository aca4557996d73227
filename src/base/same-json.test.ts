import fc from "fast-check";
import { expect, test } from "vitest";
import { reversedFields } from "./reversed-fields.fake.ts";
import { isSameJson } from "./same-json.ts";

test("the order of fields does not matter, that of items does, and an undefined field is absent", () => {
  expect(isSameJson({ a: 1, b: [{ c: 2, d: undefined }] }, { b: [{ c: 2 }], a: 1 })).toBe(true);
  expect(isSameJson([1, 2], [2, 1])).toBe(false);
  expect(isSameJson({ a: undefined }, { b: undefined })).toBe(true);
  for (const [one, other] of [
    [{ a: 1 }, { a: 1, b: 1 }],
    [{ a: 1, b: 1 }, { a: 1 }],
    [{ a: undefined, b: 1 }, { a: 1 }],
    [[], {}],
    [{}, []],
    [null, {}],
    [0, false],
    ["1", 1],
  ]) {
    expect(isSameJson(one, other), JSON.stringify([one, other])).toBe(false);
  }
});

test("two values are the same exactly when their texts are, whatever they are", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), fc.jsonValue({ maxDepth: 3 }), (one, other) => {
      const copy: unknown = JSON.parse(JSON.stringify(one));
      expect(isSameJson(copy, reversedFields(copy))).toBe(true);
      const text = (value: unknown) => JSON.stringify(sorted(JSON.parse(JSON.stringify(value))));
      expect(isSameJson(copy, JSON.parse(JSON.stringify(other)))).toBe(text(one) === text(other));
    }),
  );
});

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, part]) => ({ key, part: sorted(part) }));
  // Not the list itself: an object without fields is no empty list.
  return { fields };
}
