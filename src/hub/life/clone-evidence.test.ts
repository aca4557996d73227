import { expect, test } from "vitest";
import { judgeClone, NO_EVIDENCE, withLateReport, withTakeover } from "./clone-evidence.ts";

const late = (atMs: number, session: string, sequence: number) => ({ atMs, session, sequence });

test("one late report is no clone, and the same one again is none", () => {
  const once = withLateReport(NO_EVIDENCE, late(0, "a", 7));
  expect(judgeClone(once)).toBeUndefined();
  expect(judgeClone(withLateReport(once, late(20_000, "a", 7)))).toBeUndefined();
});

test("two reports that were on their way together are no clone", () => {
  const two = withLateReport(withLateReport(NO_EVIDENCE, late(0, "a", 7)), late(900, "a", 8));
  expect(judgeClone(two)).toBeUndefined();
});

test("A8: an agent that goes on counting after another one followed it is a clone", () => {
  const two = withLateReport(withLateReport(NO_EVIDENCE, late(0, "a", 7)), late(15_000, "a", 8));
  expect(judgeClone(two)).toContain("two agents report in turn");
});

test("connections that take over from each other prove nothing without a report", () => {
  let held = NO_EVIDENCE;
  for (let at = 0; at < 10; at++) held = withTakeover(held, at * 1000);
  expect(judgeClone(held)).toBeUndefined();
  expect(judgeClone(withLateReport(held, late(10_000, "a", 1)))).toContain("take the connection");
});

test("evidence is forgotten after two minutes", () => {
  const old = withLateReport(NO_EVIDENCE, late(0, "a", 7));
  expect(judgeClone(withLateReport(old, late(130_000, "a", 8)))).toBeUndefined();
});
