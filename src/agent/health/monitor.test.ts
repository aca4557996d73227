import { describe, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createUnit } from "../reconcile/unit.ts";
import { createFakeProcessRuntime } from "../runtime/process/process-runtime.fake.ts";
import { createMonitor } from "./monitor.ts";

const BYTES_A_SECOND = 50_000;
const HOUR_MS = 3_600_000;

/** A stream whose program writes its counters once a second, as long as it is not frozen, and the monitor that watches it. */
async function createWorld() {
  const clock = createFakeClock();
  const log = createMemoryLog();
  const runtime = createFakeProcessRuntime(clock);
  const unit = createUnit({ id: "cam-1", kind: "stream", sinceWallMs: 0 });
  const mark = { boxId: "box", workloadId: "cam-1", kind: "stream", specHash: "hash", generation: 1, nonce: "n" };
  unit.handle = runtime.adopt(runtime.plant(mark).identity, mark);
  unit.phase = "running";
  let frozenAtMs = Number.POSITIVE_INFINITY;
  unit.probe = {
    sample: () => {
      const writtenMs = Math.floor(Math.min(clock.monotonicMs(), frozenAtMs) / 1000) * 1000;
      const seconds = writtenMs / 1000;
      const ageMs = clock.monotonicMs() - writtenMs;
      return {
        frames: seconds * 25,
        outTimeUs: seconds * 1_000_000,
        totalBytes: seconds * BYTES_A_SECOND,
        droppedFrames: 0,
        isEnded: false,
        writtenAtWallMs: clock.wallMs() - ageMs,
      };
    },
    close: () => undefined,
  };
  const findings: { atMs: number; cause: string | undefined }[] = [];
  const stop = new AbortController();
  const monitor = createMonitor(
    {
      periodMs: 1000,
      ownHealthOf: () => undefined,
      limitsOf: () => ({
        periodMs: 1000,
        startDeadlineMs: 20_000,
        stallMs: 7000,
        sourceStallMs: 7000,
        hasFollowers: false,
        writesFilesOnly: false,
      }),
    },
    {
      clock,
      log,
      units: () => [unit],
      progress: { advance: () => undefined, rest: () => undefined },
      sockets: { hasTrouble: () => false, read: () => new Map() },
      waitsIn: () => undefined,
      breachOf: () => undefined,
      onFinding: ({ finding }) => {
        if (finding !== undefined) findings.push({ atMs: clock.monotonicMs(), cause: finding.cause });
      },
      onTick: () => undefined,
    },
  );
  const done = monitor.run(stop.signal);
  await clock.advance(30_000);
  return {
    clock,
    unit,
    findings,
    freeze: () => {
      frozenAtMs = clock.monotonicMs();
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await done;
    },
  };
}

describe("the monitor", () => {
  test.each([HOUR_MS, -HOUR_MS])(
    "finds nothing when the wall clock is set by %i ms while media flows",
    async (step) => {
      await using world = await createWorld();
      for (let round = 0; round < 5; round++) {
        world.clock.stepWall(step);
        await world.clock.advance(20_000);
      }
      expect(world.findings).toEqual([]);
      expect(world.unit.health.healthyMs).toBeGreaterThan(120_000);
    },
  );

  test.each([0, 250, 500, 750, 990])(
    "names a stall within ten seconds, %i ms after its own last look, whatever the wall clock does",
    async (phaseMs) => {
      await using world = await createWorld();
      await world.clock.advance(phaseMs);
      world.freeze();
      const frozenMs = world.clock.monotonicMs();
      world.clock.stepWall(HOUR_MS);
      await world.clock.advance(5000);
      world.clock.stepWall(-2 * HOUR_MS);
      await world.clock.advance(10_000);
      expect(world.findings).toMatchObject([{ cause: "source-stalled" }]);
      expect((world.findings[0]?.atMs ?? Number.NaN) - frozenMs).toBeLessThanOrEqual(9000);
    },
  );
});
