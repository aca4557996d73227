import { expect, test } from "vitest";
import type { BoxView } from "../contract/fleet/box-view.ts";
import type { FleetWorkloadView } from "../contract/fleet/expected-view.ts";
import { explainStream } from "./explain-stream.ts";

const nowMs = Date.parse("2026-01-15T10:00:00Z");
const BOX: BoxView = {
  id: "north-1",
  name: "North gate",
  labels: {},
  revision: 3,
  state: "approved",
  draining: false,
  connection: "online",
  expectedRevision: 7,
  applied: { epoch: "e", revision: 7 },
  incidents: [],
  workloads: { total: 1, running: 1, unwell: 0 },
  createdAt: "2026-01-01T00:00:00Z",
};
const STREAM: FleetWorkloadView = {
  box: "north-1",
  boxName: "North gate",
  workload: {
    kind: "stream",
    id: "cam-1",
    spec: { input: { url: "rtsp://cam/1" }, outputs: [{ url: "rtmp://host/live/***" }] },
  },
  desired: "running",
};

test("a hibernated stream says who can wake it, and nothing of processes", () => {
  expect(explainStream({ box: BOX, stream: { ...STREAM, desired: "hibernated" }, nowMs })).toEqual([
    "It was put on north-1 by hand or from a file.",
    "It is hibernated: its place is kept and nothing of it runs, until sluice stream wake.",
  ]);
});

test("an offline box is named before what it last said", () => {
  const box: BoxView = {
    ...BOX,
    connection: "offline",
    lastContactAt: "2026-01-15T09:00:00Z",
    applied: { revision: 5 },
  };
  expect(explainStream({ box, stream: { ...STREAM, owner: "rollout/lobby" }, nowMs })).toEqual([
    "rollout/lobby placed it on north-1: sluice rollout show lobby.",
    "north-1 is offline; it was last heard 1 h ago. What follows is what it said then.",
    "north-1 has taken over revision 5; expected is 7.",
    "The box has said nothing of this stream yet.",
  ]);
});

test("a failing stream tells its cause, its last exit with the evidence, and the next start", () => {
  const stream: FleetWorkloadView = {
    ...STREAM,
    status: {
      id: "cam-1",
      kind: "stream",
      description: "",
      state: "waiting",
      cause: "connection refused",
      fault: "exited",
      generation: 2,
      restarts: 4,
      since: "2026-01-15T09:59:00Z",
      nextStartInSeconds: 8,
      lastExit: { at: "2026-01-15T09:59:00Z", code: 1, signal: null, class: "refused", evidence: "Connection refused" },
    },
  };
  const incidents = [{ kind: "disk-full", cause: "no space", start: "2026-01-15T09:50:00Z" }];
  expect(explainStream({ box: { ...BOX, incidents }, stream, nowMs }).slice(1)).toEqual([
    "north-1 has taken over everything that is expected of it.",
    "An incident hits the whole box for 10 min: disk-full, no space.",
    "It is waiting for 1 min: connection refused.",
    "What fails is called exited (docs/operations.md says what to do).",
    "Its last process ended 1 min ago by refused (status 1); its own words: Connection refused.",
    "When the box last reported, the next start was due in 8 s.",
  ]);
});

test.each([
  [{ state: "pending" }, "north-1 waits to be approved: it is sent nothing (sluice box approve north-1)."],
  [{ state: "revoked" }, "north-1 is revoked: it is sent nothing, and keeps what it was last told."],
  [
    { quarantine: { since: "2026-01-15T09:00:00Z", reason: "two machines have its key" } },
    "north-1 is quarantined: two machines have its key (sluice box release north-1).",
  ],
] as const)("what stands between hub and box is said first: %j", (standing, sentence) => {
  expect(explainStream({ box: { ...BOX, ...standing }, stream: STREAM, nowMs })[1]).toBe(sentence);
});
