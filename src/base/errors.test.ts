import { expect, test } from "vitest";
import { errnoOf, messageOf } from "./errors.ts";

/** As Node throws it for a number that it has no name for. */
const unnamed = (errno: number, call: string) =>
  Object.assign(new Error(`Unknown system error ${errno}: Unknown system error ${errno}, ${call}`), {
    errno,
    code: `Unknown system error ${errno}`,
  });

test("an error of a disk has its name also where Node has none for it", () => {
  expect([errnoOf(unnamed(-122, "write")), messageOf(unnamed(-122, "write"))]).toEqual([
    "EDQUOT",
    "EDQUOT: disk quota exceeded, write",
  ]);
  expect(errnoOf(unnamed(-116, "open '/srv/x'"))).toBe("ESTALE");
  expect(messageOf(unnamed(-116, "open '/srv/x'"))).toBe("ESTALE: stale file handle, open '/srv/x'");
  const other = unnamed(-9999, "open");
  expect([errnoOf(other), messageOf(other)]).toEqual(["Unknown system error -9999", other.message]);
  expect(errnoOf(Object.assign(new Error("x"), { code: "ENOENT", errno: -2 }))).toBe("ENOENT");
  expect([errnoOf(new Error("x")), errnoOf("ENOENT"), messageOf(new Error(""))]).toEqual([
    undefined,
    undefined,
    "Error",
  ]);
});
