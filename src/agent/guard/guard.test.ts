import { afterEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import type { ProcessUsage } from "../../base/process-usage.ts";
import type { GuardOptions } from "../../config/agent-options.ts";
import type { Occurrence } from "../../contract/report.ts";
import type { StreamWorkload, Workload } from "../../contract/workload.ts";
import { createUnit, type Unit } from "../reconcile/unit.ts";
import { createFakeProcessRuntime } from "../runtime/process/process-runtime.fake.ts";
import { createDiskWatch } from "./disk-watch.ts";
import { createGuard } from "./guard.ts";
import { NO_CGROUPS, type WorkloadCgroups } from "./workload-cgroups.ts";

const MIB = 2 ** 20;
const OPTIONS: GuardOptions = {
  memoryBytes: undefined,
  cpuCores: undefined,
  maxMemoryBytes: undefined,
  maxCpuCores: undefined,
  cgroups: "auto",
  nice: 5,
  admissionCpuPercent: 0,
  shedCpuPercent: 0,
  memoryFreePercent: 3,
  diskFreeBytes: 100 * MIB,
  recordingsBytes: undefined,
  deleteRecordings: false,
  logsBytes: 128 * MIB,
};

const stream = (
  id: string,
  extra: Partial<StreamWorkload> = {},
  outputs = [`rtmp://host/live/${id}`],
): StreamWorkload => ({
  kind: "stream",
  id,
  spec: { input: { url: "test://bars" }, outputs: outputs.map((url) => ({ url })) },
  ...extra,
});

const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

function createBox(options: Partial<GuardOptions> = {}, cgroups: WorkloadCgroups = NO_CGROUPS) {
  const clock = createFakeClock();
  const log = createMemoryLog();
  const runtime = createFakeProcessRuntime(clock);
  const expected = new Map<string, Workload>();
  const units = new Map<string, Unit>();
  const usage = new Map<number | undefined, ProcessUsage>();
  const told: string[] = [];
  const placed: string[] = [];
  const host = { busyShare: 0.2, freeBytes: 8192 * MIB, diskBytes: 1000 * MIB, busy: 0, total: 0, reads: 0 };
  let wakes = 0;
  let hang: Promise<number> | undefined;
  const stop = new AbortController();
  stops.push(stop);
  const onOccurrence = ({ kind, workloadId = "" }: Omit<Occurrence, "at">) =>
    void told.push(`${kind} ${workloadId}`.trim());
  const wake = () => {
    wakes += 1;
  };
  const disks = createDiskWatch(
    { ...OPTIONS, ...options, fileRoots: ["/srv/rec"] },
    {
      log,
      disk: { realpath: (path) => path, hasEntry: () => true },
      files: {
        freeBytes: async () => (await hang) ?? host.diskBytes,
        find: async () => [],
        remove: async () => undefined,
      },
      onOccurrence,
      onChange: wake,
    },
  );
  const guard = createGuard(
    { ...OPTIONS, ...options },
    {
      clock,
      log,
      host: {
        cpu: () => {
          host.reads += 1;
          host.total += 800;
          host.busy += 800 * host.busyShare;
          return { busyTicks: host.busy, totalTicks: host.total, cores: 4 };
        },
        memory: () => ({ totalBytes: 16_384 * MIB, availableBytes: host.freeBytes }),
        cpuPressurePercent: () => undefined,
      },
      priority: {
        setNice: (pid, nice) => void placed.push(`${pid} nice ${nice}`),
        setOomScore: (pid, score) => void placed.push(`${pid} score ${score}`),
      },
      cgroups,
      disks,
      expected: () => expected,
      units: () => units,
      usageOf: (pid) => usage.get(pid),
      isAtRest: () => false,
      onOccurrence,
      wake,
    },
  );
  void guard.run(stop.signal);
  const run = async (workload: Workload, use: { rssBytes?: number; cpuShare?: number } = {}): Promise<Unit> => {
    expected.set(workload.id, workload);
    const unit = createUnit({ id: workload.id, kind: "stream", sinceWallMs: 0 });
    const mark = { boxId: "b", workloadId: workload.id, kind: "stream", generation: 1, nonce: "n", specHash: "h" };
    const files = { directory: "", progressPath: "", rawOutputPath: "", logPath: "", previewPath: "" };
    unit.handle = await runtime.start(mark, { file: "ffmpeg", args: [], env: {} }, files);
    unit.generation = 1;
    unit.phase = "running";
    const { rssBytes = 500 * MIB, cpuShare = 0.5 } = use;
    usage.set(unit.handle.identity?.pid ?? -1, { rssBytes, cpuPercent: cpuShare * 100 });
    unit.handle.stat = () => ({ state: "S", cpuTicks: 0, rssBytes });
    units.set(workload.id, unit);
    return unit;
  };
  return {
    clock,
    log,
    guard,
    host,
    expected,
    units,
    told,
    placed,
    run,
    wakes: () => wakes,
    hangDisk: () => {
      hang = Promise.withResolvers<number>().promise;
    },
    put: (one: Workload) => expected.set(one.id, one),
  };
}

const due = (...ids: string[]) => ids.map((id) => ({ id, isNew: true }));

test("a launch gets the niceness and the OOM score of its priority", () => {
  const box = createBox();
  box.put(stream("a", { priority: 80 }));
  const mark = { boxId: "b", workloadId: "a", kind: "stream", generation: 1, nonce: "n", specHash: "h" };
  box.guard.place(42, mark);
  expect(box.placed).toEqual(["42 score 120", "42 nice 2"]);
});

test("new streams wait while the processors are busy, are told once, and the reconciler is woken when there is room", async () => {
  const box = createBox({ admissionCpuPercent: 80 });
  box.host.busyShare = 0.95;
  await box.clock.advance(12_000);
  box.put(stream("new"));
  expect(box.guard.admit(due("new")).admitted).toEqual([]);
  expect(box.guard.admit(due("new")).admitted).toEqual([]);
  expect(box.told).toEqual(["held new"]);
  expect(box.guard.holdOf("new")).toEqual({
    by: "admission",
    reason: "no room on the processors: 95 % are in use, and new streams start below 80 %",
  });
  await box.clock.advance(10_000);
  expect(box.wakes()).toBe(0);
  box.host.busyShare = 0.3;
  await box.clock.advance(10_000);
  expect(box.wakes()).toBeGreaterThan(0);
  expect(box.guard.admit(due("new")).admitted).toEqual(["new"]);
  expect(box.guard.holdOf("new")).toBeUndefined();
});

test("what is let in is reckoned with what those that run use, or with its own limit", async () => {
  const box = createBox({ admissionCpuPercent: 80 });
  box.host.busyShare = 0.4;
  await box.run(stream("running"), { cpuShare: 1 });
  await box.clock.advance(12_000);
  for (const id of ["a", "b", "c"]) box.put(stream(id));
  // 1.6 of 3.2 cores are in use, and each will use one.
  expect(box.guard.admit(due("a", "b", "c")).admitted).toEqual(["a", "b"]);
  await box.clock.advance(12_000);
  for (const id of ["a", "b", "c"]) box.put(stream(id, { resources: { cpu: "100m" } }));
  expect(box.guard.admit(due("a", "b", "c")).admitted).toEqual(["a", "b", "c"]);
});

test("by default no stream waits for the processors, and nobody looks at them", async () => {
  const box = createBox();
  box.host.busyShare = 1;
  await box.run(stream("running"));
  await box.clock.advance(600_000);
  box.put(stream("new"));
  expect(box.guard.admit(due("new")).admitted).toEqual(["new"]);
  expect(box.guard.shed().size).toBe(0);
  expect(box.host.reads).toBe(0);
});

test("out of memory the least important gives way with a reason, and comes back by itself", async () => {
  const box = createBox();
  await box.run(stream("high", { priority: 90 }));
  await box.run(stream("low", { priority: 10 }));
  box.host.freeBytes = 100 * MIB;
  await box.clock.advance(6000);
  const reason = "the box runs out of memory (100 MiB of 16384 MiB are left): this gave way, it held 500 MiB";
  expect([...box.guard.shed()]).toEqual([["low", reason]]);
  expect(box.guard.holdOf("low")).toEqual({ by: "shed-memory", reason });
  box.units.delete("low");
  box.host.freeBytes = 8192 * MIB;
  await box.clock.advance(70_000);
  expect(box.guard.shed().size).toBe(0);
  expect(box.told).toEqual(["shed-memory low", "room low"]);
  expect(box.wakes()).toBe(2);
});

test("a limit is measured where no cgroup holds it, anew for each launch", async () => {
  const box = createBox();
  const unit = await box.run(stream("a", { resources: { memory: "100Mi" } }));
  await box.clock.advance(4000);
  expect(box.guard.breachOf(unit)).toBeUndefined();
  await box.clock.advance(2000);
  expect(box.guard.breachOf(unit)?.message).toBe("it holds 500 MiB of memory, its limit is 100 MiB");
  unit.generation += 1;
  expect(box.guard.breachOf(unit)).toBeUndefined();
  expect(box.guard.shareOf("a")).toEqual({ priority: 50, limits: { memoryBytes: 100 * MIB, by: "measuring" } });
});

test("a limit that changes is in force at once, without a restart", async () => {
  const held: unknown[] = [];
  const cgroups: WorkloadCgroups = {
    kind: "cgroup",
    hold: (_, __, share) => void held.push(share),
    isHeld: () => true,
    oomKills: ({ generation }) => (generation === 1 ? 1 : 0),
    removeOthers: () => undefined,
    freeze: () => true,
    isFrozen: () => false,
  };
  const box = createBox({}, cgroups);
  const unit = await box.run(stream("a", { resources: { memory: "100Mi" } }));
  await box.clock.advance(2000);
  box.put(stream("a", { resources: { memory: "200Mi" }, priority: 70 }));
  await box.clock.advance(2000);
  expect(held).toEqual([
    { limits: { memoryBytes: 100 * MIB }, priority: 50 },
    { limits: { memoryBytes: 200 * MIB }, priority: 70 },
  ]);
  await box.clock.advance(600_000);
  expect(box.guard.breachOf(unit)).toBeUndefined();
  expect(box.guard.wasKilledForMemory({ workloadId: "a", generation: 1 })).toBe(true);
  expect(box.guard.wasKilledForMemory({ workloadId: "a", generation: 2 })).toBe(false);
});

test("below the floor recordings pause: what only records gives way, the others go on without their files", async () => {
  const box = createBox();
  const live = stream("live");
  box.put(live);
  box.put(stream("both", {}, ["rtmp://host/live/both", "file:///srv/rec/both/"]));
  const recorder = stream("recorder", {}, ["file:///srv/rec/only.mkv"]);
  box.put(recorder);
  await box.guard.look();
  expect(box.guard.effective(box.expected)).toBe(box.expected);
  box.host.diskBytes = 50 * MIB;
  await box.clock.advance(12_000);
  const left = box.guard.effective(box.expected);
  expect(left.get("live")).toBe(live);
  expect(left.get("both")?.spec).toMatchObject({ outputs: [{ url: "rtmp://host/live/both" }] });
  // The same object each time, or the reconciler would see a change in each lap.
  expect(box.guard.effective(box.expected).get("both")).toBe(left.get("both"));
  const reason = "/srv/rec has 50 MiB free, and the floor is 100 MiB";
  expect([...box.guard.shed()]).toEqual([["recorder", `nothing may be recorded: ${reason}`]]);
  expect(box.guard.holdOf("both")).toEqual({ by: "disk-partly", reason: `recording is paused: ${reason}` });
  expect(box.guard.holdOf("recorder")?.by).toBe("disk");
  expect(box.guard.holdOf("live")).toBeUndefined();
  box.host.diskBytes = 110 * MIB;
  await box.clock.advance(60_000);
  expect(box.guard.effective(box.expected).get("both")).toBe(left.get("both"));
  box.host.diskBytes = 130 * MIB;
  await box.clock.advance(12_000);
  expect(box.guard.effective(box.expected)).toBe(box.expected);
  expect(box.guard.shed().size).toBe(0);
  expect(box.told).toEqual(["recording-paused", "recording-resumed"]);
  expect(box.wakes()).toBe(2);
});

test("what writes to disks that nobody has looked at waits for that look, and no longer than a second", async () => {
  const box = createBox();
  box.put(stream("live"));
  box.put(stream("recorder", {}, ["file:///srv/rec/only.mkv"]));
  expect(box.guard.admit(due("live", "recorder")).admitted).toEqual(["live"]);
  await box.clock.advance(0);
  expect(box.wakes()).toBe(1);
  expect(box.guard.admit(due("recorder")).admitted).toEqual(["recorder"]);
  box.hangDisk();
  box.put(stream("second", {}, ["file:///srv/rec/second.mkv"]));
  expect(box.guard.admit(due("second")).admitted).toEqual([]);
  await box.clock.advance(999);
  expect(box.guard.admit(due("second")).admitted).toEqual([]);
  await box.clock.advance(1);
  expect(box.guard.admit(due("second")).admitted).toEqual(["second"]);
});
