import { expect, test } from "vitest";
import type { SessionRunSpec } from "../../../contract/session-spec.ts";
import {
  type Activity,
  type ActivityFacts,
  countsConnections,
  hibernatesAtMs,
  mustKeepUse,
  observeActivity,
  recallUse,
} from "./session-idle.ts";

const LAST: Activity = { atMs: 1000, source: "start" };
const WITH_PORT: Pick<SessionRunSpec, "activity" | "template"> = { template: { image: "a", ports: [{ port: 80 }] } };
const PLAIN: typeof WITH_PORT = { template: { command: ["/bin/job"] } };
const seen = (facts: Partial<ActivityFacts>): ActivityFacts => ({
  nowMs: 5000,
  openConnections: 0,
  hasDatagrams: undefined,
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

test("datagrams are use where it declares a UDP port, and where nobody can see them TCP alone counts", () => {
  const udp = { template: { image: "a", ports: [{ port: 53, protocol: "udp" as const }] } };
  const both = { template: { image: "a", ports: [{ port: 80 }, { port: 53, protocol: "udp" as const }] } };
  const none = { openConnections: undefined };
  expect(observeActivity(LAST, udp, seen({ ...none, hasDatagrams: true }))).toEqual({ atMs: 5000, source: "datagram" });
  expect(observeActivity(LAST, udp, seen({ ...none, hasDatagrams: false }))).toBe(LAST);
  expect(observeActivity(LAST, udp, seen(none)).source).toBe("connection");
  expect(observeActivity(LAST, both, seen({ hasDatagrams: true })).source).toBe("datagram");
  expect(observeActivity(LAST, both, seen({ hasDatagrams: false }))).toBe(LAST);
  expect(observeActivity(LAST, both, seen({}))).toBe(LAST);
  expect(observeActivity(LAST, WITH_PORT, seen({ hasDatagrams: true }))).toBe(LAST);
});

test("use is written seldom, and recalled no earlier than it was", () => {
  const idleTimeoutMs = 600_000;
  const kept = { atMs: 1_000_000, source: "connection" as const };
  expect(mustKeepUse({ ...kept, atMs: 1_059_000 }, kept, idleTimeoutMs)).toBe(false);
  expect(mustKeepUse({ ...kept, atMs: 1_060_000 }, kept, idleTimeoutMs)).toBe(true);
  expect(mustKeepUse(kept, undefined, idleTimeoutMs)).toBe(true);
  // A clock that was put back must not leave a time to come.
  expect(mustKeepUse({ ...kept, atMs: 500_000 }, kept, idleTimeoutMs)).toBe(true);
  const recall = (nowWallMs: number) => recallUse(kept, { idleTimeoutMs, nowMs: 5000, nowWallMs });
  expect(recall(1_360_000)).toEqual({ atMs: 5000 - 300_000, source: "connection" });
  expect(recall(1_059_000).atMs).toBe(5000);
  expect(recall(900_000).atMs).toBe(5000);
});
