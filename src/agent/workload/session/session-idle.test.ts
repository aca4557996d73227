import { expect, test } from "vitest";
import type { SessionRunSpec } from "../../../contract/session-spec.ts";
import {
  type Activity,
  type ActivityFacts,
  countsConnections,
  hibernatesAtMs,
  observeActivity,
} from "./session-idle.ts";

const LAST: Activity = { atMs: 1000, source: "start" };
const WITH_PORT: Pick<SessionRunSpec, "activity" | "template"> = { template: { image: "a", ports: [{ port: 80 }] } };
const PLAIN: typeof WITH_PORT = { template: { command: ["/bin/job"] } };
const seen = (facts: Partial<ActivityFacts>): ActivityFacts => ({
  nowMs: 5000,
  openConnections: 0,
  cpuPercent: undefined,
  ...facts,
});

test("an open connection is use, where it has ports and nobody said otherwise", () => {
  expect(observeActivity(LAST, WITH_PORT, seen({ openConnections: 1 }))).toEqual({ atMs: 5000, source: "connection" });
  expect(observeActivity(LAST, WITH_PORT, seen({}))).toBe(LAST);
  const unasked = { ...WITH_PORT, activity: { connections: false } };
  expect(observeActivity(LAST, unasked, seen({ openConnections: 1 }))).toBe(LAST);
  expect(countsConnections(PLAIN)).toBe(false);
});

test("connections that nobody could count put nothing to sleep", () => {
  expect(observeActivity(LAST, WITH_PORT, seen({ openConnections: undefined })).source).toBe("connection");
  expect(observeActivity(LAST, PLAIN, seen({ openConnections: undefined }))).toBe(LAST);
});

test("a processor above the declared share is use, and only where it is declared", () => {
  const batch = { ...PLAIN, activity: { cpuPercent: 20 } };
  expect(observeActivity(LAST, batch, seen({ cpuPercent: 20 }))).toEqual({ atMs: 5000, source: "cpu" });
  expect(observeActivity(LAST, batch, seen({ cpuPercent: 19.9 }))).toBe(LAST);
  expect(observeActivity(LAST, batch, seen({}))).toBe(LAST);
  expect(observeActivity(LAST, PLAIN, seen({ cpuPercent: 99 }))).toBe(LAST);
});

test("it sleeps after its time without use, and not before its grace is over", () => {
  expect(hibernatesAtMs(LAST, { idleTimeoutMs: 10_000, graceMs: 0, awakeSinceMs: 0 })).toBe(11_000);
  expect(hibernatesAtMs(LAST, { idleTimeoutMs: 10_000, graceMs: 60_000, awakeSinceMs: 500 })).toBe(60_500);
});
