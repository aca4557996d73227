import { expect, test } from "vitest";
import { toMarkLabels } from "../../../translate/container-labels.ts";
import { inspectSchema } from "../engine-api/engine-answers.ts";
import { toContainerFacts } from "./container-facts.ts";

const OWNER = { stateDir: "/state", boxId: "box", workloadId: "desk" };
const MARK = { boxId: "box", generation: 2, nonce: "ab", specHash: "cafe" };

function factsOf(state: Record<string, unknown>, more: Record<string, unknown> = {}) {
  const details = {
    Id: "3f2a9c",
    Name: "/sluice-desk",
    State: { Status: "running", Running: true, Paused: false, Pid: 7, ...state },
    Config: { Labels: toMarkLabels(OWNER, MARK) },
    HostConfig: {},
    ...more,
  };
  return toContainerFacts(inspectSchema.parse(details), "/state");
}
const ended = { Running: false, Status: "exited", Pid: 0 };

test.each([
  { state: {}, phase: "running" },
  { state: { Paused: true, Status: "paused" }, phase: "frozen" },
  { state: { Running: false, Status: "paused" }, phase: "frozen" },
  { state: { Running: false, Status: "stopping" }, phase: "running" },
  { state: ended, phase: "over" },
  { state: { Running: false, Status: "created" }, phase: "fresh" },
  { state: { Running: false, Status: "configured" }, phase: "fresh" },
  { state: { Running: false, Status: "dead", Dead: true }, phase: "dead" },
  { state: { Running: false, Status: "removing", Dead: true }, phase: "dead" },
])("a container with $state is $phase", ({ state, phase }) => {
  expect(factsOf(state).phase).toBe(phase);
});

test.each([
  { state: { ExitCode: 0 }, exit: { code: 0, signal: null } },
  { state: { ExitCode: 3 }, exit: { code: 3, signal: null } },
  { state: { ExitCode: 143 }, exit: { code: 143, signal: "SIGTERM" } },
  { state: { ExitCode: 137 }, exit: { code: 137, signal: "SIGKILL" } },
  { state: { ExitCode: 137, OOMKilled: true }, exit: { code: 137, signal: "SIGKILL", reason: "oom-killed" } },
  { state: { ExitCode: 1, OOMKilled: true }, exit: { code: 1, signal: null, reason: "oom-killed" } },
  { state: { ExitCode: 0, OOMKilled: true }, exit: { code: 0, signal: null } },
  { state: { Status: "dead", Dead: true, ExitCode: 137 }, exit: { code: 137, signal: "SIGKILL", reason: "dead" } },
])("one that ended with $state did so by $exit", ({ state, exit }) => {
  expect(factsOf({ ...ended, ...state }).exit).toEqual(exit);
});

test("it is ours by its labels and the state directory in them, and by nothing else", () => {
  expect(factsOf({}).mark).toEqual({ ...MARK, workloadId: "desk" });
  const labels = toMarkLabels({ ...OWNER, stateDir: "/another" }, MARK);
  expect(factsOf({}, { Config: { Labels: labels } }).mark).toBeUndefined();
  expect(factsOf({}, { Config: { Labels: null } }).mark).toBeUndefined();
  const broken = { ...toMarkLabels(OWNER, MARK), "sluice.generation": "second" };
  expect(factsOf({}, { Config: { Labels: broken } }).mark).toBeUndefined();
});

test("its ports are where the engine has put them", () => {
  const Ports = {
    "53/udp": [{ HostIp: "", HostPort: "32769" }],
    "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "32768" }],
    "9000/tcp": null,
  };
  expect(factsOf({}, { NetworkSettings: { Ports } }).endpoints).toEqual([
    { port: 53, protocol: "udp", address: "0.0.0.0", hostPort: 32769 },
    { port: 80, protocol: "tcp", address: "127.0.0.1", hostPort: 32768 },
  ]);
});

test("Docker's year 1 is never", () => {
  expect(factsOf({ StartedAt: "2026-11-21T18:16:33.454Z", FinishedAt: "0001-01-01T00:00:00Z" })).toMatchObject({
    startedAtWallMs: Date.parse("2026-11-21T18:16:33.454Z"),
    endedAtWallMs: 0,
  });
});
