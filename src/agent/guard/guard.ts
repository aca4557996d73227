import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { HostLoad } from "../../base/host-load.ts";
import type { Log } from "../../base/log.ts";
import type { ProcessPriority } from "../../base/process-priority.ts";
import type { ProcessUsage } from "../../base/process-usage.ts";
import type { LoopProgress } from "../../base/progress-watch.ts";
import type { Service } from "../../base/service.ts";
import type { GuardOptions } from "../../config/agent-options.ts";
import type { AgentStatus, WorkloadStatus } from "../../contract/local-status.ts";
import type { Occurrence } from "../../contract/report.ts";
import type { Workload } from "../../contract/workload.ts";
import type { Finding } from "../health/finding.ts";
import { type Unit, unitsOf } from "../reconcile/unit.ts";
import type { ProcessMark } from "../runtime/run-handle.ts";
import { admitStarts, hasRoom, type Reservations } from "./admission.ts";
import { addReading, type CpuWindow, cpuPercentOf } from "./cpu-window.ts";
import type { DiskWatch } from "./disk-watch.ts";
import { writesFiles } from "./file-outputs.ts";
import { breachOf, type LimitUse, MOST_COUNTED_MS, NO_USE, observeUse } from "./limit-breach.ts";
import { limitsOf, niceOf, oomScoreOf, priorityOf } from "./limits.ts";
import type { RoomKeeper } from "./room-keeper.ts";
import { NOTHING_SHED, observePressure, type Runner, type ShedState } from "./shedding.ts";
import type { WorkloadCgroups } from "./workload-cgroups.ts";

/** Holds streams to their share of the box, and decides who gives way when there is too little for all. */
export interface Guard extends RoomKeeper, Service {
  /** Right after a launch: niceness, OOM score and cgroup. */
  place(pid: number, mark: ProcessMark): void;
  /** Over its limit for some time, where no cgroup holds it. */
  breachOf(unit: Unit): Finding | undefined;
  /** What may run of what is expected: without recordings where the disk has no room for them. */
  effective(workloads: ReadonlyMap<string, Workload>): ReadonlyMap<string, Workload>;
  /** Looks at the disks; resolves when they have answered, or have had a second for it. */
  look(): Promise<void>;
  /** Why it does not run, or not whole, where that is this guard's doing. */
  holdOf(id: string): WorkloadStatus["held"];
  shareOf(id: string): Pick<WorkloadStatus, "priority" | "limits">;
  status(): NonNullable<AgentStatus["guard"]>;
  /** Where launches have groups of their own. */
  readonly freezer: Pick<WorkloadCgroups, "freeze" | "isFrozen">;
}

export interface GuardDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly host: HostLoad;
  readonly priority: ProcessPriority;
  readonly cgroups: WorkloadCgroups;
  readonly disks: DiskWatch;
  /** Everything that should run, whether or not there is room for it. */
  readonly expected: () => ReadonlyMap<string, Workload>;
  readonly units: () => ReadonlyMap<string, Unit>;
  /** It sleeps: it takes nothing, and gives way to nobody. */
  readonly isAtRest: (id: string) => boolean;
  /** What a process was last seen to use. */
  readonly usageOf: (pid: number | undefined) => ProcessUsage | undefined;
  readonly onOccurrence: (occurrence: Omit<Occurrence, "at">) => void;
  /** There may be room now, or something must give. */
  readonly wake: () => void;
  readonly progress?: LoopProgress | undefined;
}

interface Measured {
  readonly generation: number;
  readonly use: LimitUse;
  readonly breach: Finding | undefined;
}

const PERIOD_MS = 2000;
const DISK_PERIOD_MS = 10_000;
const LOOK_LIMIT_MS = 1000;
/** An FFmpeg that was never measured. */
const GUESSED_CORES = 0.5;

export function createGuard(options: GuardOptions, deps: GuardDeps): Guard {
  const { clock, log, cgroups, disks } = deps;
  const readsCpu = options.admissionCpuPercent > 0 || options.shedCpuPercent > 0;
  const hasLimits = [options.memoryBytes, options.cpuCores, options.maxMemoryBytes, options.maxCpuCores].some(Boolean);
  let window: CpuWindow = [];
  let shedState: ShedState = NOTHING_SHED;
  let reservations: Reservations = [];
  /** New workloads that found no room in the last lap. */
  let held: ReadonlyMap<string, string> = new Map();
  /** Asked for many times a second, and the same for all of them. */
  let trimmed: Readonly<Record<"of" | "left", ReadonlyMap<string, Workload>> & { paused: unknown }> | undefined;
  const uses = new WeakMap<Unit, Measured>();

  /** Workloads whose disks were looked at, or were given their time to answer. */
  const known = new WeakSet<Workload>();
  let isLooking = false;

  const look = async (): Promise<void> => {
    const looked = [...deps.expected().values()].filter(writesFiles);
    const late = new AbortController();
    try {
      await Promise.race([disks.look(deps.expected()), clock.delay(LOOK_LIMIT_MS, late.signal).catch(() => undefined)]);
    } catch (thrown) {
      log.warn(`Cannot look at the disks: ${messageOf(thrown)}`);
    } finally {
      late.abort();
      for (const workload of looked) known.add(workload);
    }
  };

  /** Whether a workload may be started: one that writes to disks that nobody has looked at waits for that look. */
  const isKnown = (id: string): boolean => {
    const workload = workloadOf(id);
    if (workload === undefined || known.has(workload) || !writesFiles(workload)) return true;
    if (!isLooking) {
      isLooking = true;
      void look().finally(() => {
        isLooking = false;
        deps.wake();
      });
    }
    return false;
  };

  const workloadOf = (id: string) => deps.expected().get(id);
  const facts = () => ({
    nowMs: clock.monotonicMs(),
    limitPercent: options.admissionCpuPercent,
    cpuPercent: cpuPercentOf(window),
    cores: window.at(-1)?.cores ?? 1,
  });

  const runners = (): Runner[] =>
    [...deps.units().values()].flatMap(({ id, phase, handle }) => {
      if (phase !== "running" || deps.isAtRest(id)) return [];
      const { cpuPercent = 0, rssBytes = 0 } = deps.usageOf(handle?.identity?.pid) ?? {};
      return [{ id, priority: priorityOf(workloadOf(id)), cpuCores: cpuPercent / 100, rssBytes }];
    });

  /** What one more stream will use: as much as those that run do on average. */
  const usualCores = (): number => {
    const measured = runners().filter(({ cpuCores }) => cpuCores > 0);
    const sum = measured.reduce((total, { cpuCores }) => total + cpuCores, 0);
    return measured.length === 0 ? GUESSED_CORES : sum / measured.length;
  };

  const say = (kind: string, id: string, text: string) => {
    log.warn(`${id}: ${text}`);
    deps.onOccurrence({ kind, workloadId: id, text });
  };

  const observe = (countedMs: number): void => {
    const expected = deps.expected();
    if (expected.size === 0 && shedState.shed.length === 0) return;
    const highestPriority = () => {
      const isPresent = (id: string) => !deps.isAtRest(id) && !shedState.shed.some((one) => one.id === id);
      const present = [...expected].filter(([id]) => isPresent(id));
      return Math.max(0, ...present.map(([, workload]) => priorityOf(workload)));
    };
    const { state, gave, returned } = observePressure(
      shedState,
      {
        countedMs,
        cores: window.at(-1)?.cores ?? 1,
        cpuPercent: cpuPercentOf(window),
        cpuPressurePercent: options.shedCpuPercent > 0 ? deps.host.cpuPressurePercent() : undefined,
        memory: options.memoryFreePercent > 0 ? deps.host.memory() : undefined,
        // Asked for only when something must give or may come back.
        get runners() {
          return runners();
        },
        get highestPriority() {
          return highestPriority();
        },
        isExpected: (id) => expected.has(id),
      },
      options,
    );
    shedState = state;
    if (gave !== undefined) say(gave.by, gave.id, gave.reason);
    if (returned !== undefined) say("room", returned.id, "there is room for it again");
    if (gave !== undefined || returned !== undefined) deps.wake();
  };

  /** A launch of an earlier agent too: its group is found again by its name, and what has changed is set anew. */
  const holdRunning = (): void => {
    if (cgroups.kind === "measuring") return;
    const live = [...deps.units().values()]
      .flatMap(unitsOf)
      .flatMap(({ id, generation, handle }) =>
        handle?.identity === undefined ? [] : [{ workloadId: id, generation, pid: handle.identity.pid }],
      );
    for (const launch of live) cgroups.hold(launch, launch.pid, shareFor(launch.workloadId));
    cgroups.removeOthers(live);
  };

  const shareFor = (id: string) => ({
    limits: limitsOf(workloadOf(id), options),
    priority: priorityOf(workloadOf(id)),
  });

  /** Only those with a limit that nothing else holds them to are read. */
  const measure = (unit: Unit, elapsedMs: number): void => {
    const { id, generation, handle } = unit;
    const workload = workloadOf(id);
    if (!hasLimits && workload?.resources === undefined && !uses.has(unit)) return;
    const limits = limitsOf(workload, options);
    const isLimited = limits.memoryBytes !== undefined || limits.cpuCores !== undefined;
    const isMeasured = isLimited && !cgroups.isHeld({ workloadId: id, generation });
    const stat = isMeasured && !deps.isAtRest(id) ? handle?.stat() : undefined;
    if (stat === undefined) {
      uses.delete(unit);
      return;
    }
    const before = uses.get(unit);
    const use = observeUse(before?.generation === generation ? before.use : NO_USE, { ...stat, elapsedMs }, limits);
    uses.set(unit, { generation, use, breach: breachOf(use, limits) });
  };

  const tick = (elapsedMs: number): void => {
    const countedMs = Math.min(elapsedMs, MOST_COUNTED_MS);
    if (readsCpu) window = addReading(window, deps.host.cpu());
    observe(countedMs);
    holdRunning();
    for (const unit of [...deps.units().values()].flatMap(unitsOf)) measure(unit, elapsedMs);
    if (held.size > 0 && hasRoom(reservations, facts())) deps.wake();
  };

  return {
    name: "guard",
    freezer: cgroups,
    place: (pid, mark) => {
      const share = shareFor(mark.workloadId);
      deps.priority.setOomScore(pid, oomScoreOf(share.priority));
      if (options.nice > 0) deps.priority.setNice(pid, niceOf(share.priority, options.nice));
      cgroups.hold(mark, pid, share);
    },
    breachOf: (unit) => {
      const measured = uses.get(unit);
      return measured?.generation === unit.generation ? measured.breach : undefined;
    },
    wasKilledForMemory: (mark) => cgroups.oomKills(mark) > 0,
    effective: (workloads) => {
      const paused = disks.paused();
      if (paused.size === 0) return workloads;
      if (trimmed?.of !== workloads || trimmed.paused !== paused) {
        const left = new Map([...workloads].map(([id, workload]) => [id, disks.effective(workload) ?? workload]));
        trimmed = { of: workloads, paused, left };
      }
      return trimmed.left;
    },
    admit: (due) => {
      const usual = options.admissionCpuPercent === 0 || due.length === 0 ? 0 : usualCores();
      const requests = due
        .filter(({ id }) => isKnown(id))
        .map(({ id, isNew }) => {
          const { limits, priority } = shareFor(id);
          return { id, isNew, priority, costCores: Math.min(usual, limits.cpuCores ?? usual) };
        });
      const admission = admitStarts(reservations, requests, facts());
      reservations = admission.reservations;
      for (const [id, reason] of admission.held) if (!held.has(id)) say("held", id, reason);
      held = admission.held;
      return admission;
    },
    shed: () => {
      const reasons = new Map(shedState.shed.map(({ id, reason }) => [id, reason]));
      if (disks.paused().size === 0) return reasons;
      const why = [...disks.paused().values()].join("; ");
      for (const [id, workload] of deps.expected()) {
        if (disks.effective(workload) === undefined) reasons.set(id, `nothing may be recorded: ${why}`);
      }
      return reasons;
    },
    look,
    holdOf: (id) => {
      const shed = shedState.shed.find((one) => one.id === id);
      if (shed !== undefined) return { by: shed.by, reason: shed.reason };
      const workload = workloadOf(id);
      if (workload !== undefined && disks.effective(workload) !== workload) {
        const reason = `recording is paused: ${[...disks.paused().values()].join("; ")}`;
        return { by: disks.effective(workload) === undefined ? "disk" : "disk-partly", reason };
      }
      const reason = held.get(id);
      return reason === undefined ? undefined : { by: "admission", reason };
    },
    shareOf: (id) => {
      const { limits, priority } = shareFor(id);
      if (limits.memoryBytes === undefined && limits.cpuCores === undefined) return { priority };
      const unit = deps.units().get(id);
      const isHeld = unit !== undefined && cgroups.isHeld({ workloadId: id, generation: unit.generation });
      return { priority, limits: { ...limits, by: isHeld ? "cgroup" : "measuring" } };
    },
    status: () => {
      const cpuPercent = cpuPercentOf(window);
      const memory = deps.host.memory();
      return {
        limitsBy: cgroups.kind,
        ...(cpuPercent === undefined ? {} : { cpuPercent: Math.round(cpuPercent) }),
        ...(memory === undefined
          ? {}
          : { memoryTotalBytes: memory.totalBytes, memoryAvailableBytes: memory.availableBytes }),
        roots: disks.status(),
      };
    },
    run: async (signal) => {
      let lastMs = clock.monotonicMs();
      let lookedMs = lastMs;
      if (readsCpu) window = addReading(window, deps.host.cpu());
      while (!signal.aborted) {
        deps.progress?.advance(PERIOD_MS);
        await clock.delay(PERIOD_MS, signal).catch(() => undefined);
        if (signal.aborted) return;
        const nowMs = clock.monotonicMs();
        tick(nowMs - lastMs);
        lastMs = nowMs;
        if (nowMs - lookedMs < DISK_PERIOD_MS) continue;
        lookedMs = nowMs;
        void look();
      }
    },
  };
}
