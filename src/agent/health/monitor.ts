import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { ProcessSockets } from "../../base/process-sockets.ts";
import type { LoopProgress } from "../../base/progress-watch.ts";
import type { TcpSocket } from "../../base/tcp-table.ts";
import { afterHealthy } from "../reconcile/restart-state.ts";
import type { Unit } from "../reconcile/unit.ts";
import type { MediaSample, OwnHealth } from "../workload/driver.ts";
import { diagnose, diagnoseStopped, type HealthLimits } from "./diagnose.ts";
import type { Finding } from "./finding.ts";
import { countedTime, observeMedia, observeWork } from "./media-health.ts";
import { NEW_PROCESS, observeProcess } from "./process-health.ts";
import { isStrained, observeSockets } from "./socket-health.ts";

export interface MonitorOptions {
  readonly periodMs: number;
  readonly limitsOf: (unit: Unit) => HealthLimits;
  /** Of kinds that make no media: what their keeper has found out. */
  readonly ownHealthOf: (unit: Unit) => OwnHealth | undefined;
}

export interface MonitorDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly units: () => readonly Unit[];
  readonly sockets: ProcessSockets;
  /** The kernel function a process sleeps in. */
  readonly waitsIn: (pid: number) => string | undefined;
  /** A limit that the unit keeps breaking. */
  readonly breachOf: (unit: Unit) => Finding | undefined;
  /** A unit's finding has changed, or it has done its first work. */
  readonly onFinding: (unit: Unit) => void;
  /** Every unit has been observed. */
  readonly onTick: () => void;
  readonly progress: LoopProgress;
}

type SocketsOfProcesses = ReturnType<ProcessSockets["read"]> | undefined;

interface Tick {
  readonly nowMs: number;
  readonly elapsedMs: number;
  readonly countedMs: number;
}

/** Counters come once a second: one reading without movement is nothing. */
const SUSPECT_IDLE_MS = 1500;
/** Who has done well for this long is looked at every other time. */
const CALM_MS = 30_000;

/**
 * Asks the witnesses about every running workload once a period and judges what they say. One loop for all.
 *
 * The counters of calm workloads are asked every other time, those of all others each time. What costs more is asked of those only whose counters stand still or fall behind, and the
 * kernel's table of sockets also while any connection of the box is in trouble, and while a successor has to be proved: counters
 * look perfect while a frozen peer's bytes pile up in kernel buffers.
 */
export function createMonitor(options: MonitorOptions, deps: MonitorDeps): { run(signal: AbortSignal): Promise<void> } {
  const observe = (unit: Unit, tick: Tick, sockets: readonly TcpSocket[] | undefined) => {
    const { handle, probe } = unit;
    if (handle === undefined || probe === undefined) return;
    const before = {
      cause: unit.finding?.cause,
      needsRestart: unit.finding?.needsRestart,
      hasMoved: unit.health.hasMoved,
    };
    const own = options.ownHealthOf(unit);
    const stat = own !== undefined || isSuspect(unit) ? handle.stat() : undefined;
    const waitsIn =
      stat?.state === "D" && handle.identity !== undefined ? deps.waitsIn(handle.identity.pid) : undefined;
    const sample = probe.sample();
    unit.health =
      own === undefined
        ? observeMedia(unit.health, { ...tick, sample, sampleAgeMs: ageOf(sample, deps.clock.wallMs()) })
        : observeWork(unit.health, own.isWorking, tick.countedMs);
    unit.process = stat === undefined ? NEW_PROCESS : observeProcess(unit.process, { ...stat, waitsIn }, tick);
    unit.sockets = observeSockets(unit.sockets, sockets, tick.countedMs);
    unit.finding =
      deps.breachOf(unit) ??
      (own === undefined
        ? diagnose({ media: unit.health, process: unit.process, sockets: unit.sockets }, options.limitsOf(unit))
        : (diagnoseStopped(unit.process, options.limitsOf(unit)) ?? own.finding));
    const { finding } = unit;
    unit.restart = afterHealthy(unit.restart, unit.health.healthyMs);
    const isNew = finding?.cause !== before.cause || finding?.needsRestart !== before.needsRestart;
    if (isNew) {
      if (finding !== undefined) deps.log.warn(`${unit.id}: ${finding.cause}: ${finding.message}`);
      else deps.log.info(`${unit.id}: ${before.cause} is over`);
    }
    if (isNew || unit.health.hasMoved !== before.hasMoved) deps.onFinding(unit);
  };

  const lookedAtMs = new WeakMap<Unit, number>();
  /** Each is held to the time since it was looked at itself. */
  const look = (unit: Unit, at: { readonly nowMs: number; readonly lastMs: number }, sockets: SocketsOfProcesses) => {
    const { nowMs } = at;
    const elapsedMs = nowMs - (lookedAtMs.get(unit) ?? at.lastMs);
    if (sockets === undefined && isCalm(unit) && elapsedMs < 1.5 * options.periodMs) return;
    lookedAtMs.set(unit, nowMs);
    const tick = { nowMs, elapsedMs, countedMs: countedTime(elapsedMs, options.periodMs) };
    observe(unit, tick, sockets?.get(unit.handle?.identity?.pid ?? -1));
  };

  return {
    run: async (signal) => {
      let lastMs = deps.clock.monotonicMs();
      while (!signal.aborted) {
        deps.progress.advance(options.periodMs);
        await deps.clock.delay(options.periodMs, signal).catch(() => undefined);
        if (signal.aborted) return;
        const nowMs = deps.clock.monotonicMs();
        const units = deps.units().filter(({ phase }) => phase === "running");
        const pids = units.flatMap(({ handle }) => handle?.identity?.pid ?? []);
        const mustRead =
          deps.sockets.hasTrouble(pids) ||
          units.some((unit) => unit.role === "successor" || isSuspect(unit) || isStrained(unit.sockets));
        const sockets = mustRead ? deps.sockets.read(pids) : undefined;
        for (const unit of units) look(unit, { nowMs, lastMs }, sockets);
        deps.onTick();
        lastMs = nowMs;
      }
    },
  };
}

function isSuspect({ health, finding }: Unit): boolean {
  return finding !== undefined || health.slowMs > 0 || health.idleMs >= SUSPECT_IDLE_MS;
}

function isCalm({ role, health, finding }: Unit): boolean {
  return role === "main" && finding === undefined && health.healthyMs >= CALM_MS && health.slowMs + health.idleMs === 0;
}

/** A step of the wall clock between writing and reading must not count for more than a program's own beat. */
const OLDEST_MS = 1000;

function ageOf(sample: MediaSample | undefined, nowWallMs: number): number {
  if (sample?.writtenAtWallMs === undefined) return 0;
  return Math.min(Math.max(nowWallMs - sample.writtenAtWallMs, 0), OLDEST_MS);
}
