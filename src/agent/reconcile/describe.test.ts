import { expect, test } from "vitest";
import type { Workload } from "../../contract/workload.ts";
import { explain, toWorkloadStatus, type WorkloadView } from "./describe.ts";
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
