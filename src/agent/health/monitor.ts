import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { LoopProgress } from "../../base/progress-watch.ts";
import { afterHealthy } from "../reconcile/restart-state.ts";
import type { Unit } from "../reconcile/unit.ts";
import type { MediaSample } from "../workload/driver.ts";
import { type HealthLimits, observeMedia } from "./media-health.ts";

export interface MonitorOptions {
  readonly periodMs: number;
  readonly limitsOf: (kind: string) => Omit<HealthLimits, "periodMs">;
}

export interface MonitorDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly units: () => ReadonlyMap<string, Unit>;
  /** A unit's finding has changed, or it has done its first work. */
  readonly onFinding: (unit: Unit) => void;
  readonly progress: LoopProgress;
}

/**
 * Reads every running workload's counters once a period and judges them. One loop for all, because a reading costs
 * microseconds; a tick that comes late counts for two periods at the most.
 */
export function createMonitor(options: MonitorOptions, deps: MonitorDeps): { run(signal: AbortSignal): Promise<void> } {
  const observe = (unit: Unit, nowMs: number, elapsedMs: number) => {
    if (unit.phase !== "running" || unit.probe === undefined) return;
    const before = { cause: unit.finding?.cause, hasMoved: unit.health.hasMoved };
    const sample = unit.probe.sample();
    const tick = {
      nowMs,
      elapsedMs,
      sample,
      sampleAgeMs: ageOf(sample, deps.clock.wallMs()),
      processState: unit.handle?.stat()?.state,
    };
    const limits = { ...options.limitsOf(unit.kind), periodMs: options.periodMs };
    const { health, finding } = observeMedia(unit.health, tick, limits);
    unit.health = health;
    unit.finding = finding;
    unit.restart = afterHealthy(unit.restart, health.healthyMs);
    if (finding?.cause !== before.cause) {
      if (finding !== undefined) deps.log.warn(`${unit.id}: ${finding.cause}: ${finding.message}`);
      else deps.log.info(`${unit.id}: ${before.cause} is over`);
    }
    if (finding?.cause !== before.cause || health.hasMoved !== before.hasMoved) deps.onFinding(unit);
  };

  return {
    run: async (signal) => {
      let lastMs = deps.clock.monotonicMs();
      while (!signal.aborted) {
        deps.progress.advance(options.periodMs);
        await deps.clock.delay(options.periodMs, signal).catch(() => undefined);
        if (signal.aborted) return;
        const nowMs = deps.clock.monotonicMs();
        for (const unit of deps.units().values()) observe(unit, nowMs, nowMs - lastMs);
        lastMs = nowMs;
      }
    },
  };
}

/** A step of the wall clock between writing and reading must not count for more than a program's own beat. */
const OLDEST_MS = 1000;

function ageOf(sample: MediaSample | undefined, nowWallMs: number): number {
  if (sample?.writtenAtWallMs === undefined) return 0;
  return Math.min(Math.max(nowWallMs - sample.writtenAtWallMs, 0), OLDEST_MS);
}
