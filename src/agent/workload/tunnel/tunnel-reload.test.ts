import { expect, test } from "vitest";
import { createFakeClock } from "../../../base/clock.fake.ts";
import { newLines, reloadTunnel } from "./tunnel-reload.ts";

const OLD = ["LOG5[ui]: Configuration successful", "LOG5[3]: Service [leg0] accepted connection"];

function reload(said: readonly string[], isAlive = true) {
  const clock = createFakeClock();
  let output: readonly string[] = OLD;
  const handle = {
    signal: () => {
      output = [...OLD, ...said].slice(-3);
      return isAlive;
    },
  };
  const outcome = reloadTunnel(handle, { clock, signal: new AbortController().signal, output: () => output });
  return clock.advance(3000).then(() => outcome);
}

test("a stunnel that has read its files again says so", async () => {
  expect(await reload(["LOG5[ui]: Reading configuration", "LOG5[ui]: Configuration successful"])).toEqual({
    kind: "loaded",
  });
});

test("one that goes on with what it had says why", async () => {
  const lines = [
    '2026.01.15 10:30:45 LOG3[ui]: stunnel.conf:3: "x": Specified option name is not valid here',
    "2026.01.15 10:30:45 LOG3[ui]: Configuration failed",
    "2026.01.15 10:30:45 LOG3[ui]: Failed to reload the configuration file",
  ];
  expect(await reload(lines)).toEqual({
    kind: "rejected",
    evidence: 'stunnel.conf:3: "x": Specified option name is not valid here',
  });
});

test("one that is gone, or does not answer, has read nothing", async () => {
  expect(await reload([], false)).toEqual({ kind: "unanswered" });
  expect(await reload(["LOG5[4]: Service [leg0] accepted connection"])).toEqual({ kind: "unanswered" });
});

test.each([
  [["a", "b"], ["a", "b"], []],
  [["a", "b"], ["b", "c"], ["c"]],
  [[], ["a"], ["a"]],
  [
    ["a", "b"],
    ["c", "d"],
    ["c", "d"],
  ],
  [["a"], ["a", "a"], ["a"]],
])("of the last lines %j, then %j, those are new: %j", (before, after, expected) => {
  expect(newLines(before, after)).toEqual(expected);
});
