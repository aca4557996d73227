import fc from "fast-check";
import { expect, test } from "vitest";
import { parseBoundedJson } from "./wire-event-json.ts";

/** Levels of a value, counted on the value itself. */
function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

test("what JSON says is let through up to the allowed depth, whatever its strings hold", () => {
  const bracket = fc.constantFrom("{", "}", "[", "]", '"', "\\", "\\\\", "→", "a");
  const text = fc.array(bracket, { maxLength: 12 }).map((parts) => parts.join(""));
  const json = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 6 }, text, fc.array(tie("value"), { maxLength: 3 }), fc.dictionary(text, tie("value"))),
  })).value;
  fc.assert(
    fc.property(json, fc.integer({ min: 0, max: 6 }), (value, maxDepth) => {
      const parsed = parseBoundedJson(JSON.stringify(value), { maxBytes: 1_000_000, maxDepth });
      if (depthOf(value) > maxDepth) expect(parsed).toMatchObject({ bad: "too-deep" });
      else expect(parsed).toEqual({ value: JSON.parse(JSON.stringify(value)) });
    }),
    { numRuns: 500 },
  );
});

test.each([
  ["a string that never ends", `["${"{".repeat(100)}`],
  ["a string that ends in an escaped quote", `{"a":"${"[".repeat(100)}\\"`],
  ["a million backslashes", `"${"\\".repeat(1_000_001)}"`],
])("%s is no JSON, and is judged in one pass", (_what, text) => {
  expect(parseBoundedJson(text, { maxBytes: 10_000_000, maxDepth: 4 })).toMatchObject({ bad: "not-json" });
});
