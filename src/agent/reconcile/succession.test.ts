import { describe, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { AppError } from "../../base/errors.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createRedactor } from "../../base/redact.ts";
import type { StreamWorkload, Workload } from "../../contract/workload.ts";
import { ROOM_FOR_ALL } from "../guard/room-keeper.fake.ts";
import { NEW_HEALTH } from "../health/media-health.ts";
import type { RegistryRecord } from "../registry/record.ts";
import { createFakeProcessRuntime } from "../runtime/process/process-runtime.fake.ts";
import { filesOfWorkload, laneName } from "../runtime/process/workload-files.ts";
import { createWorkloadRuntime } from "../runtime/workload-runtime.ts";
import type { WorkloadDriver } from "../workload/driver.ts";
import { createReconciler } from "./reconciler.ts";

const DRIVER: WorkloadDriver<StreamWorkload> = {
  kind: "stream",
  stopLadder: [{ signal: "SIGKILL", graceMs: 3000, toGroup: true }],
  startDeadlineMs: 20_000,
  admit: () => undefined,
  specHash: ({ spec }) => spec.outputs.map(({ url }) => url).join(),
  describe: ({ id }) => id,
  secrets: () => ({ values: [], urls: [] }),
  claims: ({ spec }) =>
    spec.outputs.map(({ url }) => ({ key: url, kind: "publishing point", label: url, isExclusive: true })),
  mayOverlap: () => true,
  prepare: async () => ({ file: "ffmpeg", args: [], env: {} }),
  openProbe: () => ({ sample: () => undefined, close: () => undefined }),
  classifyExit: () => ({ class: "network", retry: "backoff", evidence: "Connection refused" }),
};

const to = (url: string, id = "a"): Workload => ({
  kind: "stream",
  id,
  spec: { input: { url: "rtsp://cam" }, outputs: [{ url }] },
});

/** A box whose kernel and disk outlive its agents. */
function createBox() {
  const clock = createFakeClock();
  const runtime = createFakeProcessRuntime(clock);
  const records = new Map<string, RegistryRecord>();
  const expected = new Map<string, Workload>();
  let nonces = 0;

  const startAgent = async () => {
    const log = createMemoryLog();
    let isAlive = true;
    const reconciler = createReconciler(
      { intervalMs: 30_000, updateDeadlineMs: 20_000 },
      {
        clock,
        random: () => 0.5,
        logFor: () => log,
        redactor: createRedactor(),
        runtime: createWorkloadRuntime({
          ...runtime,
          start: (...launch) => (isAlive ? runtime.start(...launch) : new Promise(() => undefined)),
        }),
        records: {
          all: () => [...records.values()],
          put: (record) => void (isAlive && records.set(laneName(record.id, record.lane ?? 0), record)),
          remove: (id, lane = 0) => void (isAlive && records.delete(laneName(id, lane))),
          commit: async () => undefined,
        },
        pump: { attach: () => undefined, detach: () => undefined, flush: () => undefined, tail: () => [] },
        driverOf: () => DRIVER,
        filesOf: (id, lane) => filesOfWorkload({ stateDir: "/s", logDir: "/l", runDir: "/r" }, id, lane),
        discardFiles: () => undefined,
        newNonce: () => `nonce-${++nonces}`,
        boxId: "box",
        bootId: "boot-1",
        expected: () => expected,
        room: ROOM_FOR_ALL,
        awaits: () => undefined,
        rests: () => undefined,
        onFinished: () => undefined,
        restraint: { failed: () => false, turnInMs: () => 0 },
        isStoredSetWhole: true,
        isExpectedConfirmed: () => true,
        onChange: () => undefined,
        onOccurrence: () => undefined,
      },
    );
    await reconciler.adopt();
    const unit = (id = "a") => reconciler.units().get(id);
    const settle = async () => {
      await reconciler.reconcile();
      await clock.advance(0);
      await clock.advance(0);
    };
    const prove = async (id = "a") => {
      const successor = unit(id)?.successor;
      if (successor !== undefined) successor.health = { ...NEW_HEALTH, hasMoved: true, healthyMs: 3000 };
      await settle();
    };
    /** From now on it leaves no trace. */
    const kill = () => {
      isAlive = false;
    };
    return { reconciler, log, unit, settle, prove, kill };
  };

  const expectOnly = (...workloads: Workload[]) => {
    expected.clear();
    for (const workload of workloads) expected.set(workload.id, workload);
  };
  /** What runs, as `generation url`. */
  const live = () => [...runtime.live.values()].map(({ mark }) => `${mark.generation} ${mark.specHash}`);
  return { clock, runtime, records, expectOnly, live, startAgent };
}

async function inTheMiddle() {
  const box = createBox();
  const agent = await box.startAgent();
  box.expectOnly(to("one"));
  await agent.settle();
  box.expectOnly(to("two"));
  await agent.settle();
  expect(box.live()).toEqual(["1 one", "2 two"]);
  return { box, agent };
}

describe("an update", () => {
  test("stops the old process once the new one is proved, and not before", async () => {
    const { box, agent } = await inTheMiddle();
    await box.clock.advance(10_000);
    expect(box.live()).toEqual(["1 one", "2 two"]);
    await agent.prove();
    expect(box.live()).toEqual(["2 two"]);
    expect(agent.unit()).toMatchObject({ role: "main", lane: 1, generation: 2, predecessor: undefined });
    expect([...box.records.values()].map(({ lane, role, generation }) => [lane, role, generation])).toEqual([
      [1, undefined, 2],
    ]);
  });

  test("leaves the old process when the new one ends, and tries again later, and later", async () => {
    const { box, agent } = await inTheMiddle();
    const fail = async () => {
      box.runtime.end(agent.unit()?.successor?.handle?.identity?.pid ?? -1);
      await box.clock.advance(0);
    };
    await fail();
    expect(box.live()).toEqual(["1 one"]);
    expect(agent.unit()?.failedUpdate).toMatchObject({ cause: expect.stringMatching(/network: Connection refused/) });
    await box.clock.advance(200);
    expect(box.live()).toEqual(["1 one", "3 two"]);
    await fail();
    await box.clock.advance(400);
    expect(box.live()).toEqual(["1 one"]);
    await box.clock.advance(200);
    expect(box.live()).toEqual(["1 one", "4 two"]);
  });

  test("leaves the old process when the new one makes no media in time", async () => {
    const { box, agent } = await inTheMiddle();
    await box.clock.advance(20_000);
    expect(box.live()).toEqual(["1 one"]);
    expect(agent.log.lines.join("\n")).toContain("Update of a failed: it made no media in time");
  });

  test("leaves the old process when the new one cannot even be launched", async () => {
    const box = createBox();
    const agent = await box.startAgent();
    box.expectOnly(to("one"));
    await agent.settle();
    box.runtime.failNextStart(new AppError("exhausted", "no processes left"));
    box.expectOnly(to("two"));
    await agent.settle();
    expect(box.live()).toEqual(["1 one"]);
    expect(agent.unit()?.failedUpdate?.cause).toContain("no processes left");
  });

  test("gives way to a newer wish, and to the old one", async () => {
    const { box, agent } = await inTheMiddle();
    box.expectOnly(to("three"));
    await agent.settle();
    await agent.settle();
    expect(box.live()).toEqual(["1 one", "2 three"]);
    box.expectOnly(to("one"));
    await agent.settle();
    expect(box.live()).toEqual(["1 one"]);
    expect(agent.unit()).toMatchObject({ generation: 1, failedUpdate: undefined, successor: undefined });
  });

  test("lets the new process take over at once when the old one ends by itself", async () => {
    const { box, agent } = await inTheMiddle();
    box.runtime.end(agent.unit()?.handle?.identity?.pid ?? -1);
    await box.clock.advance(0);
    expect(box.live()).toEqual(["2 two"]);
    expect(agent.unit()).toMatchObject({ role: "main", generation: 2 });
  });

  test("ends with both processes when the workload is removed", async () => {
    const { box, agent } = await inTheMiddle();
    box.expectOnly();
    await agent.settle();
    await agent.settle();
    expect(box.live()).toEqual([]);
    expect(agent.reconciler.units().size).toBe(0);
    expect(box.records.size).toBe(0);
  });

  test("goes on beside an old process that cannot be killed, and keeps its resources from others", async () => {
    const { box, agent } = await inTheMiddle();
    box.runtime.deaf.add(agent.unit()?.handle?.identity?.pid ?? -1);
    await agent.prove();
    await box.clock.advance(10_000);
    box.expectOnly(to("two"), to("one", "b"));
    await agent.settle();
    expect(agent.unit()).toMatchObject({ phase: "running", generation: 2, predecessor: { phase: "unkillable" } });
    expect(agent.reconciler.blocked().get("b")).toMatchObject({ holder: "a", isHeld: true });
  });

  test("swaps what two workloads publish to, though each holds what the other wants", async () => {
    const box = createBox();
    const agent = await box.startAgent();
    box.expectOnly(to("one", "a"), to("two", "b"));
    await agent.settle();
    box.expectOnly(to("two", "a"), to("one", "b"));
    for (let lap = 0; lap < 6; lap++) {
      await agent.settle();
      await agent.prove("b");
      await agent.prove("a");
    }
    expect([...box.runtime.live.values()].map(({ mark }) => `${mark.workloadId} ${mark.specHash}`).sort()).toEqual([
      "a two",
      "b one",
    ]);
  });
});

describe("an agent that starts in the middle of an update", () => {
  test("goes on with it: the older process is the workload, the newer has to prove itself once more", async () => {
    const { box, agent } = await inTheMiddle();
    agent.kill();
    const next = await box.startAgent();
    await next.settle();
    expect(box.live()).toEqual(["1 one", "2 two"]);
    expect(next.unit()).toMatchObject({ generation: 1, lane: 0, successor: { generation: 2, lane: 1 } });
    await next.prove();
    expect(box.live()).toEqual(["2 two"]);
    expect(box.records.size).toBe(1);
  });

  test("does so without any record", async () => {
    const { box, agent } = await inTheMiddle();
    agent.kill();
    box.records.clear();
    const next = await box.startAgent();
    await next.settle();
    expect(box.live()).toEqual(["1 one", "2 two"]);
    await next.prove();
    expect(box.live()).toEqual(["2 two"]);
  });

  test("goes back when the old settings are wanted by now", async () => {
    const { box, agent } = await inTheMiddle();
    agent.kill();
    box.expectOnly(to("one"));
    const next = await box.startAgent();
    await next.settle();
    expect(box.live()).toEqual(["1 one"]);
  });

  test("begins it again where only the intent was written down", async () => {
    const { box, agent } = await inTheMiddle();
    agent.kill();
    box.runtime.end(agent.unit()?.successor?.handle?.identity?.pid ?? -1);
    const next = await box.startAgent();
    expect([...box.records.keys()]).toEqual(["a"]);
    await next.settle();
    expect(box.live()).toEqual(["1 one", "2 two"]);
  });

  test("keeps what was to take over where the old process is already gone", async () => {
    const { box, agent } = await inTheMiddle();
    agent.kill();
    box.runtime.end(agent.unit()?.handle?.identity?.pid ?? -1);
    const next = await box.startAgent();
    await next.settle();
    expect(box.live()).toEqual(["2 two"]);
    expect(next.unit()).toMatchObject({ role: "main", lane: 1, generation: 2 });
    expect([...box.records.keys()]).toEqual(["a~1"]);
  });

  test("starts one process, with the new settings, where neither is left", async () => {
    const { box, agent } = await inTheMiddle();
    agent.kill();
    for (const pid of [...box.runtime.live.keys()]) box.runtime.end(pid);
    const next = await box.startAgent();
    await next.settle();
    expect(box.live()).toEqual(["2 two"]);
    expect(box.records.size).toBe(1);
  });
});
