import fc from "fast-check";
import { expect, test } from "vitest";
import { matchesSelector, parseSelector } from "./selector.ts";

const BOXES = {
  north: { site: "north", role: "gate", gpu: "1", zone: "a" },
  south: { site: "south", zone: "b", old: "" },
  bare: {},
};

test.each([
  ["", ["north", "south", "bare"]],
  ["site=north", ["north"]],
  ["site==north", ["north"]],
  ["site!=north", ["south", "bare"]],
  ["gpu", ["north"]],
  ["!gpu", ["south", "bare"]],
  ["zone in (a, b)", ["north", "south"]],
  ["zone notin (a)", ["south", "bare"]],
  ["zone in (a,b),!old", ["north"]],
  ["old=", ["south"]],
  ["site=north, role=gate ,gpu", ["north"]],
])("%j matches %j", (text, names) => {
  const parsed = parseSelector(text);
  if (!parsed.ok) expect.unreachable(parsed.problem);
  const matching = Object.entries(BOXES).filter(([, labels]) => matchesSelector(labels, parsed.requirements));
  expect(matching.map(([name]) => name)).toEqual(names);
});

test.each([
  "=",
  "a=b=c",
  "a b",
  "a,,b",
  "in (a)",
  "a in ()",
  "a in (b",
  "a in b)",
  "!",
  "!!a",
  "a>1",
  "-a",
  "a=(b)",
  "a=b c",
])("%j is no selector, and the message says what is", (text) => {
  expect(parseSelector(text)).toMatchObject({ ok: false, problem: expect.stringContaining("key in (a,b)") });
});

test("any text is either parsed or refused, in time that grows with its length", () => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 300, unit: fc.constantFrom("a", "=", "!", ",", "(", ")", " ", "in") }),
      (text) => {
        expect(typeof parseSelector(text).ok).toBe("boolean");
      },
    ),
  );
  expect(parseSelector(`${"(".repeat(100_000)},`).ok).toBe(false);
});

test("a label named like a property of every object is a label like any other", () => {
  const parsed = parseSelector("constructor");
  expect(parsed.ok && matchesSelector({}, parsed.requirements)).toBe(false);
});
