import { expect, test } from "vitest";
import type { Workload } from "../../contract/workload.ts";
import { explain, stateOf, toWorkloadStatus, type WorkloadView } from "./describe.ts";
import { createUnit } from "./unit.ts";

const WORKLOAD: Workload = {
  kind: "stream",
  id: "cam-1",
  spec: { input: { url: "test://bars" }, outputs: [{ url: "rtmp://host/live/cam-1" }] },
};

function viewOf(extra: Partial<WorkloadView> = {}): WorkloadView {
  const unit = createUnit({ id: "cam-1", kind: "stream", sinceWallMs: 0 });
  unit.dueAtMs = 5000;
  unit.cause = "exit 1, network: Connection refused";
  unit.lastExit = { atMs: 0, code: 1, signal: null, class: "network" };
  return {
    id: "cam-1",
    workload: WORKLOAD,
    unit,
    refusal: undefined,
    driver: undefined,
    usage: undefined,
    proof: undefined,
    tunnel: undefined,
    session: undefined,
    segments: undefined,
    rest: undefined,
    held: undefined,
    blocked: undefined,
    share: { priority: 50 },
    incidents: [],
    nowMs: 0,
    nowWallMs: 0,
    ...extra,
  };
}

test("who waits for its next turn shows when that is; who waits for room shows what is missing", () => {
  const waiting = toWorkloadStatus(viewOf());
  expect(waiting).toMatchObject({ state: "waiting", nextStartInSeconds: 5, fault: "exited" });
  const held = toWorkloadStatus(viewOf({ held: { by: "shed-memory", reason: "the box runs out of memory" } }));
  expect(held).toMatchObject({ state: "waiting", cause: "the box runs out of memory", held: { by: "shed-memory" } });
  expect(held).not.toHaveProperty("nextStartInSeconds");
  expect(held).not.toHaveProperty("fault");
});

test("a new one that finds no room is shown before anything of it ever ran", () => {
  const view = viewOf({ unit: undefined, held: { by: "admission", reason: "no room on the processors" } });
  expect(toWorkloadStatus(view)).toMatchObject({ state: "waiting", cause: "no room on the processors", generation: 0 });
  expect(explain(view, "a start event").because).toContain(
    "The resource guard holds it (admission): no room on the processors. It goes on by itself when there is room.",
  );
});

test("limits are explained with who sees to them", () => {
  const limits = { memoryBytes: 268_435_456, cpuCores: 0.5, by: "cgroup" } as const;
  expect(explain(viewOf({ share: { priority: 70, limits } }), "a start event").because).toContain(
    "It may use 256 MiB of memory and 0.5 cores (the kernel sees to that); its priority is 70.",
  );
});

const SESSION = { user: "anna", turn: 2, endpoints: [], wakeMs: { frozen: 12 } };

test("a session that sleeps or has ended is where it should be: no fault, no next start, and why in one line", () => {
  const sleep = { depth: "stopped", since: "2026-01-15T10:30:45.000Z", because: "idle" } as const;
  const asleep = toWorkloadStatus(viewOf({ rest: "hibernated", session: { ...SESSION, sleep } }));
  expect(asleep).toMatchObject({ state: "hibernated", cause: "it sleeps (stopped), because nothing used it" });
  expect(asleep).not.toHaveProperty("fault");
  expect(asleep).not.toHaveProperty("nextStartInSeconds");
  const ended = { at: "2026-01-15T10:30:45.000Z", reason: "exit 0, completed" };
  const over = viewOf({ rest: "ended", session: { ...SESSION, ended } });
  expect(toWorkloadStatus(over)).toMatchObject({ state: "ended", cause: "it has ended: exit 0, completed" });
  expect(explain(over, "the server").because).toContain(
    "It has ended: exit 0, completed, since 2026-01-15T10:30:45.000Z.",
  );
});

test("a session that sleeps before it was ever started has its state too, and a frozen one is not stalled", () => {
  expect(stateOf({ ...viewOf(), unit: undefined, rest: "hibernated" })).toBe("hibernated");
  const frozen = viewOf();
  if (frozen.unit !== undefined) {
    frozen.unit.phase = "running";
    frozen.unit.finding = { cause: "stopped", message: "stopped by a signal", needsRestart: true };
  }
  const sleep = { depth: "frozen", since: "2026-01-15T10:30:45.000Z", because: "asked", memoryBytes: 2 ** 21 } as const;
  const view = { ...frozen, session: { ...SESSION, sleep } };
  expect(toWorkloadStatus(view)).toMatchObject({
    state: "hibernated",
    cause: "it sleeps (frozen), because it was asked to",
  });
  expect(explain(view, "the server").because).toContain(
    "It sleeps (frozen), because it was asked to, since 2026-01-15T10:30:45.000Z; it holds 2 MiB.",
  );
});
