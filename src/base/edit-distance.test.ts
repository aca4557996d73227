import fc from "fast-check";
import { expect, test } from "vitest";
import { editDistance } from "./edit-distance.ts";

test("counts letters that are put in, left out, exchanged and swapped", () => {
  expect(editDistance("prots", "ports")).toBe(1);
  expect(editDistance("nmae", "name")).toBe(1);
  expect(editDistance("ab", "bca")).toBe(3);
  expect(editDistance("kitten", "sitting")).toBe(3);
  expect(editDistance("north-1", "north-2")).toBe(1);
  expect(editDistance("", "abc")).toBe(3);
  expect(editDistance("abc", "")).toBe(3);
});

test("is nothing for equals only, the same both ways, and never more than the longer text", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (one, other) => {
      const distance = editDistance(one, other);
      expect(distance === 0).toBe(one === other);
      expect(editDistance(other, one)).toBe(distance);
      expect(distance).toBeLessThanOrEqual(Math.max(one.length, other.length));
    }),
  );
});
