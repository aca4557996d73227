import { expect, test } from "vitest";
import { parsePersist } from "./persist.ts";

test.each([
  [undefined, undefined, 600],
  [undefined, "", 600],
  [undefined, "no", 0],
  [undefined, "1h", 3600],
  ["no", "1h", 0],
  ["0", undefined, 0],
  ["yes", "no", 600],
  ["90s", "no", 90],
])("--persist %s, SLUICE_PERSIST %s: %i seconds", (flag, env, seconds) => {
  const flags = flag === undefined ? {} : { persist: flag };
  expect(parsePersist(flags, { SLUICE_PERSIST: env })).toBe(seconds);
});

test("what is no duration is named, with where it was given", () => {
  expect(() => parsePersist({ persist: "long" }, {})).toThrow(/^--persist: given "long"/);
  expect(() => parsePersist({}, { SLUICE_PERSIST: "soon" })).toThrow(/^SLUICE_PERSIST: given "soon"/);
  expect(() => parsePersist({ persist: "2d" }, {})).toThrow(/allowed: no, or up to 24h/);
});
