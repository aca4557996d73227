import { describe, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { AppError } from "../../base/errors.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createRedactor } from "../../base/redact.ts";
import type { StreamWorkload, Workload } from "../../contract/workload.ts";
import { ROOM_FOR_ALL } from "../guard/room-keeper.fake.ts";
import type { RoomKeeper } from "../guard/room-keeper.ts";
import type { RegistryRecord } from "../registry/record.ts";
import { createFakeProcessRuntime } from "../runtime/process/process-runtime.fake.ts";
import type { ProcessMark } from "../runtime/run-handle.ts";
import { createWorkloadRuntime } from "../runtime/workload-runtime.ts";
import type { ExitVerdict, WorkloadDriver } from "../workload/driver.ts";
import { createReconciler } from "./reconciler.ts";
import type { Rest } from "./rest.ts";

const stream = (id: string, url = `rtsp://camera/${id}`): StreamWorkload => ({
  kind: "stream",
  id,
  spec: { input: { url }, outputs: [{ url: `rtmp://host/live/${id}` }] },
});

interface WorldOptions {
  readonly records?: readonly RegistryRecord[];
  readonly random?: number;
  /** The stored set was lost. */
  readonly isSetLost?: boolean;
  readonly room?: Partial<RoomKeeper>;
}

function createWorld(options: WorldOptions = {}) {
  const clock = createFakeClock();
  const log = createMemoryLog();
  const runtime = createFakeProcessRuntime(clock);
  const records = new Map(options.records?.map((record) => [record.id, record]));
  const expected = new Map<string, Workload>();
  const attached = new Set<string>();
  const server = { isHeard: false };
  let nonces = 0;
  let verdict: ExitVerdict = { class: "network", retry: "backoff", evidence: "Connection refused" };
  const gates = new Map<string, Promise<void>>();
  const rests = new Map<string, Rest>();
  const finished: string[] = [];
  const driver: WorkloadDriver<StreamWorkload> = {
    kind: "stream",
    stopLadder: [
      { signal: "SIGTERM", graceMs: 4000, toGroup: false },
      { signal: "SIGKILL", graceMs: 3000, toGroup: true },
    ],
    startDeadlineMs: 20_000,
    admit: ({ spec }) =>
      spec.input.url.startsWith("gopher:") ? { rule: "policy.inputs", message: "gopher is not allowed" } : undefined,
    specHash: ({ spec }) => JSON.stringify(spec),
    describe: ({ spec }) => spec.input.url,
    secrets: () => ({ values: [], urls: [] }),
    prepare: async (workload, _files, signal) => {
      await gates.get(workload.id);
      signal.throwIfAborted();
      return { file: "ffmpeg", args: [workload.spec.input.url], env: {} };
    },
    claims: () => [],
    mayOverlap: () => false,
    openProbe: () => ({ sample: () => undefined, close: () => undefined }),
    classifyExit: () => verdict,
  };
  const reconciler = createReconciler(
    { intervalMs: 30_000, updateDeadlineMs: 20_000 },
    {
      clock,
      random: () => options.random ?? 0.5,
      logFor: () => log,
      redactor: createRedactor(),
      runtime: createWorkloadRuntime(runtime),
      records: {
        all: () => records.values(),
        put: (record) => void records.set(record.id, record),
        remove: (id) => void records.delete(id),
        commit: async () => undefined,
      },
      pump: {
        attach: (id) => void attached.add(id),
        detach: (id) => void attached.delete(id),
        flush: () => undefined,
        tail: () => [],
      },
      driverOf: (kind) => (kind === "stream" ? driver : undefined),
      filesOf: (id) => ({ directory: id, progressPath: id, rawOutputPath: id, logPath: id, previewPath: id }),
      discardFiles: () => undefined,
      newNonce: () => `nonce-${++nonces}`,
      boxId: "box",
      bootId: "boot-1",
      expected: () => expected,
      room: { ...ROOM_FOR_ALL, ...options.room },
      awaits: () => undefined,
      rests: ({ id }) => rests.get(id),
      onFinished: ({ id }, text) => {
        finished.push(`${id}: ${text}`);
        rests.set(id, "ended");
      },
      restraint: { failed: () => false, turnInMs: () => 0 },
      isStoredSetWhole: options.isSetLost !== true,
      isExpectedConfirmed: () => server.isHeard,
      onChange: () => undefined,
      onOccurrence: () => undefined,
    },
  );
  const expectStreams = (...workloads: Workload[]) => {
    expected.clear();
    for (const workload of workloads) expected.set(workload.id, workload);
  };
  const running = () => [...runtime.live.values()].map(({ mark }) => mark.workloadId).sort();
  const pidOf = (id: string) => reconciler.units().get(id)?.handle?.identity?.pid ?? -1;
  const settle = async () => {
    await reconciler.reconcile();
    await clock.advance(0);
  };
  return {
    clock,
    log,
    runtime,
    records,
    server,
    attached,
    reconciler,
    expectStreams,
    running,
    pidOf,
    settle,
    gates,
    rests,
    finished,
    driver,
    setVerdict: (next: ExitVerdict) => {
      verdict = next;
    },
  };
}

const markOf = (world: ReturnType<typeof createWorld>, id: string, extra: Partial<ProcessMark> = {}): ProcessMark => ({
  boxId: "box",
  workloadId: id,
  kind: "stream",
  generation: 1,
  nonce: `old-${id}`,
  specHash: world.driver.specHash(stream(id)),
  ...extra,
});

function recordOf(id: string, nonce: string): RegistryRecord {
  const counts = { generation: 3, restarts: 5, failures: 2, sinceMs: 0 };
  return { id, kind: "stream", phase: "running", bootId: "boot-1", nonce, specHash: "h", ...counts };
}

describe("the reconciler", () => {
  test("starts what is expected, once, and says what it did", async () => {
    const world = createWorld();
    world.expectStreams(stream("a"), stream("b"));
    await world.settle();
    await world.settle();
    expect(world.running()).toEqual(["a", "b"]);
    expect(world.log.lines).toContain("[INFO] Reconciliation completed: 0 kept, 2 started, 0 stopped");
    expect(world.log.lines.at(-1)).toBe("[INFO] Reconciliation completed: 2 kept, 0 started, 0 stopped");
  });

  test("stops what sleeps, keeps what it knows of it, and starts it again when it wakes, as no failure", async () => {
    const world = createWorld();
    world.expectStreams(stream("a"));
    await world.settle();
    world.rests.set("a", "hibernated");
    await world.settle();
    await world.clock.advance(120_000);
    await world.settle();
    expect(world.running()).toEqual([]);
    const unit = world.reconciler.units().get("a");
    expect(unit).toMatchObject({ phase: "waiting", generation: 1, restart: { failures: 0 } });
    expect(world.records.get("a")).toMatchObject({ phase: "waiting", lastExit: { class: "asked" } });
    world.rests.clear();
    await world.settle();
    expect(world.running()).toEqual(["a"]);
    expect(unit).toMatchObject({ generation: 2, restart: { failures: 0, restarts: 0 } });
  });

  test("a wake is no restart when an agent died in between, nor when what slept had failed before", async () => {
    const world = createWorld();
    world.expectStreams(stream("a"), stream("b"));
    await world.settle();
    world.runtime.end(world.pidOf("b"));
    await world.settle();
    expect(world.reconciler.units().get("b")?.restart.failures).toBe(1);
    world.rests.set("a", "hibernated");
    world.rests.set("b", "hibernated");
    await world.settle();
    await world.clock.advance(1000);
    await world.settle();
    expect(world.running()).toEqual([]);

    const next = createWorld({ records: [...world.records.values()] });
    next.rests.set("a", "hibernated");
    next.expectStreams(stream("a"), stream("b"));
    await next.reconciler.adopt();
    await next.settle();
    next.rests.clear();
    await next.settle();
    expect(next.running()).toEqual(["a", "b"]);
    for (const id of ["a", "b"]) {
      expect(next.reconciler.units().get(id)).toMatchObject({ generation: 2, restart: { failures: 0, restarts: 0 } });
    }
  });

  test("starts nothing again that has done its work, and says so once", async () => {
    const world = createWorld();
    world.setVerdict({ class: "completed", retry: "never" });
    world.expectStreams(stream("a"));
    await world.settle();
    world.runtime.end(world.pidOf("a"));
    await world.clock.advance(600_000);
    await world.settle();
    expect(world.running()).toEqual([]);
    expect(world.finished).toHaveLength(1);
    expect(world.finished[0]).toMatch(/^a: .*, completed$/);
  });

  test("stops what is no longer expected and forgets it", async () => {
    const world = createWorld();
    world.expectStreams(stream("a"), stream("b"));
    await world.settle();
    world.expectStreams(stream("b"));
    await world.settle();
    expect(world.running()).toEqual(["b"]);
    expect([...world.records.keys()]).toEqual(["b"]);
    expect([...world.attached]).toEqual(["b"]);
  });

  test("replaces a stream whose settings changed, at once and without a debt", async () => {
    const world = createWorld();
    world.expectStreams(stream("a"));
    await world.settle();
    const before = world.pidOf("a");
    world.expectStreams(stream("a", "rtsp://camera/other"));
    await world.settle();
    await world.settle();
    expect(world.runtime.live.has(before)).toBe(false);
    expect(world.running()).toEqual(["a"]);
    expect(world.reconciler.units().get("a")?.restart).toEqual({ failures: 0, restarts: 0 });
  });

  test("restarts what died within a fifth of a second, then later and later, for ever", async () => {
    const world = createWorld({ random: 1 });
    world.expectStreams(stream("a"));
    await world.settle();
    for (const delayMs of [200, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
      world.runtime.end(world.pidOf("a"));
      await world.clock.advance(delayMs - 1);
      expect(world.running()).toEqual([]);
      await world.clock.advance(2);
      expect(world.running()).toEqual(["a"]);
    }
    expect(world.log.lines).toContain("[WARN] a ended (exit 1, network: Connection refused), next start in 0.2 s");
  });

  test("writes the intent down before the process exists", async () => {
    const world = createWorld();
    const seen: unknown[] = [];
    const { start } = world.runtime;
    world.runtime.start = async (mark, launch, files) => {
      seen.push({ phase: world.records.get("a")?.phase, nonce: world.records.get("a")?.nonce === mark.nonce });
      return start(mark, launch, files);
    };
    world.expectStreams(stream("a"));
    await world.settle();
    expect(seen).toEqual([{ phase: "starting", nonce: true }]);
  });

  test("a launch that hangs or a stop that hangs holds up nobody else", async () => {
    const world = createWorld();
    world.expectStreams(stream("stuck"), stream("deaf"), stream("c"));
    world.gates.set("stuck", new Promise(() => undefined));
    await world.settle();
    expect(world.running()).toEqual(["c", "deaf"]);
    world.runtime.deaf.add(world.pidOf("deaf"));
    world.expectStreams(stream("stuck"), stream("c"), stream("d"));
    await world.settle();
    expect(world.running()).toEqual(["c", "d", "deaf"]);
    world.runtime.end(world.pidOf("c"));
    await world.clock.advance(300);
    expect(world.running()).toEqual(["c", "d", "deaf"]);
  });

  test("starts nothing beside a process that cannot be killed, and goes on once it is gone", async () => {
    const world = createWorld();
    world.expectStreams(stream("a"));
    await world.settle();
    const stuck = world.pidOf("a");
    world.runtime.deaf.add(stuck);
    world.expectStreams(stream("a", "rtsp://camera/other"));
    await world.settle();
    await world.clock.advance(60_000);
    expect(world.reconciler.units().get("a")?.phase).toBe("unkillable");
    expect(world.runtime.live.size).toBe(1);
    world.runtime.end(stuck);
    await world.clock.advance(10);
    expect(world.pidOf("a")).not.toBe(stuck);
    expect(world.running()).toEqual(["a"]);
  });

  test("ends a launch that is no longer wanted before it becomes a process", async () => {
    const world = createWorld();
    const gate = Promise.withResolvers<void>();
    world.gates.set("a", gate.promise);
    world.expectStreams(stream("a"));
    await world.settle();
    world.expectStreams();
    await world.settle();
    gate.resolve();
    await world.settle();
    expect(world.running()).toEqual([]);
    expect(world.reconciler.units().size).toBe(0);
    expect(world.records.size).toBe(0);
  });

  test("refuses what the policy refuses, says so once, and runs the rest", async () => {
    const world = createWorld();
    world.expectStreams(stream("a", "gopher://x"), stream("b"));
    await world.settle();
    await world.settle();
    expect(world.running()).toEqual(["b"]);
    expect(world.reconciler.refusals().get("a")?.rule).toBe("policy.inputs");
    expect(world.log.lines.filter((line) => line.includes("Refused a"))).toHaveLength(1);
  });

  test("treats a failed launch as a failure of that stream only", async () => {
    const world = createWorld({ random: 1 });
    world.runtime.failNextStart(new AppError("exhausted", "no process to be had: EAGAIN"));
    world.expectStreams(stream("a"), stream("b"));
    await world.settle();
    expect(world.running()).toHaveLength(1);
    await world.clock.advance(300);
    expect(world.running()).toEqual(["a", "b"]);
  });

  test("replaces what is unhealthy", async () => {
    const world = createWorld({ random: 0 });
    world.expectStreams(stream("a"));
    await world.settle();
    const before = world.pidOf("a");
    const unit = world.reconciler.units().get("a");
    if (unit !== undefined) unit.finding = { cause: "source-stalled", message: "no media for 8 s", needsRestart: true };
    await world.settle();
    await world.clock.advance(10);
    expect(world.running()).toEqual(["a"]);
    expect(world.pidOf("a")).not.toBe(before);
    expect(world.reconciler.units().get("a")?.lastExit).toMatchObject({ class: "source-stalled" });
  });
});

describe("adoption", () => {
  test("keeps what runs, with or without a registry", async () => {
    const world = createWorld();
    const found = world.runtime.plant(markOf(world, "a"));
    world.expectStreams(stream("a"));
    await world.reconciler.adopt();
    await world.settle();
    expect(world.pidOf("a")).toBe(found.identity.pid);
    expect(world.running()).toEqual(["a"]);
    expect(world.runtime.signalled).toEqual([]);
    expect(world.log.lines.join("\n")).toContain("which the registry did not know");
  });

  test("stops what was recorded and is no longer expected", async () => {
    const world = createWorld({ records: [recordOf("gone", "old-gone")] });
    world.runtime.plant(markOf(world, "gone"));
    await world.reconciler.adopt();
    await world.settle();
    expect(world.running()).toEqual([]);
  });

  test.each([
    ["that no record knows", { records: [recordOf("a", "of another launch")] }],
    ["whose stored set was lost", { records: [recordOf("a", "old-a"), recordOf("b", "old-b")], isSetLost: true }],
  ])("keeps a process %s until the server has been heard", async (_title, options) => {
    const world = createWorld(options);
    world.runtime.plant(markOf(world, "a"));
    world.runtime.plant(markOf(world, "b"));
    await world.reconciler.adopt();
    await world.settle();
    expect(world.running()).toEqual(["a", "b"]);
    world.expectStreams(stream("a"));
    world.server.isHeard = true;
    await world.settle();
    expect(world.running()).toEqual(["a"]);
    world.expectStreams();
    await world.settle();
    expect(world.running()).toEqual([]);
  });

  test("never trusts or signals a recorded pid that the kernel does not prove", async () => {
    const world = createWorld({
      records: [{ ...recordOf("a", "forged"), pid: 77, startTicks: 770 }],
    });
    world.expectStreams(stream("a"));
    await world.reconciler.adopt();
    await world.settle();
    expect(world.runtime.signalled).toEqual([]);
    expect(world.running()).toEqual(["a"]);
    expect(world.pidOf("a")).not.toBe(77);
    expect(world.log.lines.join("\n")).toContain("Recorded pid 77 of a is gone or belongs to somebody else");
  });

  test("keeps the newest of several processes of one stream and sweeps the others away", async () => {
    const world = createWorld();
    const old = world.runtime.plant(markOf(world, "a", { generation: 1, nonce: "n1" }));
    const newest = world.runtime.plant(markOf(world, "a", { generation: 2, nonce: "n2" }));
    world.expectStreams(stream("a"));
    await world.reconciler.adopt();
    await world.settle();
    expect(await world.reconciler.sweepStrays({ dryRun: true })).toMatchObject([{ outcome: "would-stop" }]);
    expect(await world.reconciler.sweepStrays({ dryRun: false })).toMatchObject([{ outcome: "gone" }]);
    expect(world.runtime.signalled).toEqual([old.identity.pid]);
    expect(world.pidOf("a")).toBe(newest.identity.pid);
  });
});

describe("the end of the agent", () => {
  test("leaves every stream running when it only goes away", async () => {
    const world = createWorld();
    world.expectStreams(stream("a"));
    await world.settle();
    const stop = new AbortController();
    const done = world.reconciler.run(stop.signal);
    stop.abort();
    await done;
    world.expectStreams();
    world.reconciler.wake({ reason: "late", isLoud: true });
    await world.clock.advance(60_000);
    expect(world.running()).toEqual(["a"]);
    expect(world.runtime.signalled).toEqual([]);
  });

  test("stops every stream when told to, and starts none meanwhile", async () => {
    const world = createWorld();
    world.expectStreams(stream("a"), stream("b"));
    await world.settle();
    const done = world.reconciler.stopAll();
    await world.clock.advance(1000);
    await done;
    expect(world.running()).toEqual([]);
    expect(world.records.size).toBe(0);
  });
});

describe("room on the box", () => {
  test("who finds no room waits without a process, and starts at the next lap in which there is some", async () => {
    let isFull = true;
    const asked: unknown[] = [];
    const admit: RoomKeeper["admit"] = (due) => {
      if (due.length > 0) asked.push(due);
      const admitted = due.filter(({ isNew }) => !isFull || !isNew).map(({ id }) => id);
      return { admitted, held: new Map() };
    };
    const world = createWorld({ room: { admit } });
    world.expectStreams(stream("a"));
    await world.settle();
    expect(world.running()).toEqual([]);
    isFull = false;
    await world.settle();
    expect(world.running()).toEqual(["a"]);
    expect(asked).toEqual([[{ id: "a", isNew: true }], [{ id: "a", isNew: true }]]);
    isFull = true;
    world.runtime.end(world.pidOf("a"));
    await world.clock.advance(300);
    expect(world.running()).toEqual(["a"]);
    expect(asked.at(-1)).toEqual([{ id: "a", isNew: false }]);
  });

  test("who must give way is stopped without a debt, and comes back when it need not any more", async () => {
    const shed = new Map<string, string>();
    const world = createWorld({ room: { shed: () => shed } });
    world.expectStreams(stream("a"), stream("b"));
    await world.settle();
    shed.set("a", "the box runs out of memory");
    await world.settle();
    await world.clock.advance(60_000);
    expect(world.running()).toEqual(["b"]);
    const unit = world.reconciler.units().get("a");
    expect(unit).toMatchObject({ phase: "waiting", cause: "the box runs out of memory", restart: { failures: 0 } });
    shed.clear();
    await world.settle();
    expect(world.running()).toEqual(["a", "b"]);
  });

  test("a kill at the memory limit is named as what it is, and counts", async () => {
    const world = createWorld({ room: { wasKilledForMemory: ({ generation }) => generation === 1 } });
    world.expectStreams(stream("a"));
    await world.settle();
    world.runtime.end(world.pidOf("a"), { code: null, signal: "SIGKILL" });
    await world.clock.advance(0);
    const unit = world.reconciler.units().get("a");
    expect(unit?.lastExit?.class).toBe("oom-killed");
    expect(unit?.restart.failures).toBe(1);
  });
});
