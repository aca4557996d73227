import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createRedactor } from "../../base/redact.ts";
import type { Workload } from "../../contract/workload.ts";
import { ROOM_FOR_ALL } from "../guard/room-keeper.fake.ts";
import { explains } from "../health/incident.ts";
import { createIncidentBook } from "../health/incident-book.ts";
import { createFakeProcessRuntime } from "../runtime/process/process-runtime.fake.ts";
import { createWorkloadRuntime } from "../runtime/workload-runtime.ts";
import type { WorkloadDriver } from "../workload/driver.ts";
import { createReconciler } from "./reconciler.ts";

const DRIVER: WorkloadDriver = {
  kind: "stream",
  stopLadder: [{ signal: "SIGTERM", graceMs: 4000, toGroup: false }],
  startDeadlineMs: 20_000,
  admit: () => undefined,
  specHash: ({ id }) => id,
  describe: ({ id }) => id,
  secrets: () => ({ values: [], urls: [] }),
  prepare: async () => ({ file: "ffmpeg", args: [], env: {} }),
  claims: () => [],
  mayOverlap: () => false,
  openProbe: () => ({ sample: () => undefined, close: () => undefined }),
  classifyExit: () => ({ class: "network", retry: "backoff", evidence: "Connection timed out" }),
};

/** A box whose streams die within a second while its uplink is cut. */
function createBox(count: number) {
  const clock = createFakeClock();
  const log = createMemoryLog();
  const runtime = createFakeProcessRuntime(clock);
  const workloads = Array.from({ length: count }, (_, index): Workload => {
    const spec = { input: { url: "rtsp://camera/1" }, outputs: [{ url: "rtmp://host/live/x" }] };
    return { kind: "stream", id: `cam-${index}`, spec };
  });
  const expected = new Map(workloads.map((workload) => [workload.id, workload]));
  let isCut = false;
  let starts = 0;
  const bornMs = new Map<number, number>();
  const { start } = runtime;
  runtime.start = async (...launch) => {
    starts++;
    const handle = await start(...launch);
    const { pid } = handle.identity;
    bornMs.set(pid, clock.monotonicMs());
    clock.timer(1000, () => isCut && runtime.end(pid));
    return handle;
  };
  const book = createIncidentBook({
    clock,
    log,
    onOccurrence: () => undefined,
    onRelease: (kinds, delayMsOf) =>
      reconciler.hasten(({ id, lastExit }) =>
        kinds.some((kind) => explains(kind, lastExit?.class ?? "")) ? delayMsOf(id) : undefined,
      ),
  });
  const reconciler = createReconciler(
    { intervalMs: 30_000, updateDeadlineMs: 20_000 },
    {
      clock,
      random: () => 1,
      logFor: () => log,
      redactor: createRedactor(),
      runtime: createWorkloadRuntime(runtime),
      records: { all: () => [], put: () => undefined, remove: () => undefined, commit: async () => undefined },
      pump: { attach: () => undefined, detach: () => undefined, flush: () => undefined, tail: () => [] },
      driverOf: () => DRIVER,
      filesOf: (id) => ({ directory: id, progressPath: id, rawOutputPath: id, logPath: id, previewPath: id }),
      discardFiles: () => undefined,
      newNonce: () => String(starts),
      boxId: "box",
      bootId: "boot-1",
      expected: () => expected,
      awaits: () => undefined,
      rests: () => undefined,
      onFinished: () => undefined,
      restraint: book,
      room: ROOM_FOR_ALL,
      isStoredSetWhole: true,
      isExpectedConfirmed: () => true,
      onChange: () => undefined,
      onOccurrence: () => undefined,
    },
  );
  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      await clock.advance(1000);
      const oldEnough = [...runtime.live.keys()].filter((pid) => clock.monotonicMs() - (bornMs.get(pid) ?? 0) >= 3000);
      book.observe({
        healthy: isCut ? [] : oldEnough.map(String),
        link: { isOff: false, isLive: !isCut, silentMs: 60_000, reason: undefined },
        hasDefaultRoute: true,
        disk: { durable: true },
      });
    }
  };
  return {
    log,
    reconciler,
    book,
    pass,
    live: () => runtime.live.size,
    starts: () => starts,
    cut: () => {
      isCut = true;
      for (const pid of [...runtime.live.keys()]) runtime.end(pid);
    },
    heal: () => {
      isCut = false;
    },
  };
}

test("an hour without the uplink is one incident, and costs seconds after it", async () => {
  const box = createBox(20);
  await box.reconciler.reconcile();
  await box.pass(5);
  expect(box.live()).toBe(20);
  box.cut();
  await box.pass(10);
  expect(box.book.open().map(({ kind }) => kind)).toEqual(["uplink-lost"]);
  const before = box.starts();
  await box.pass(3590);
  expect((box.starts() - before) / 3590).toBeLessThan(1.1);
  box.heal();
  await box.pass(8);
  expect(box.live()).toBe(20);
  expect(box.book.open()).toEqual([]);
  expect(box.log.lines.filter((line) => line.includes("Incident: "))).toHaveLength(1);
  expect(Math.max(...[...box.reconciler.units().values()].map(({ restart }) => restart.failures))).toBeLessThan(6);
});
