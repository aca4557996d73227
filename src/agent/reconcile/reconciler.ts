import { messageOf } from "../../base/errors.ts";
import { createLapRunner } from "../../base/lap-runner.ts";
import type { ReconcileResult } from "../../contract/local-status.ts";
import type { Workload } from "../../contract/workload.ts";
import type { ProcessMark, StopOutcome } from "../runtime/run-handle.ts";
import type { FoundRun } from "../runtime/workload-runtime.ts";
import type { Refusal } from "../workload/driver.ts";
import { adoptRunning, takeInFound } from "./adopt.ts";
import type { Blocked } from "./allocate.ts";
import { blockedText } from "./blocked-text.ts";
import type { EngineDeps } from "./engine-deps.ts";
import { createJudge } from "./judge.ts";
import type { ExpectedWorkload } from "./observed.ts";
import { planReconcile, type Step } from "./plan.ts";
import { createSuccession } from "./succession.ts";
import { createTransitions } from "./transitions.ts";
import { createUnit, toObserved, type Unit, unitsOf } from "./unit.ts";

/**
 * The one controller: every trigger wakes it, and a lap observes, plans and applies. Laps are short: what takes time
 * runs in a unit's own transition and wakes the next lap when it ends.
 */
export interface Reconciler {
  /** Adopts what already runs. Call once, before the first lap. */
  adopt(): Promise<void>;
  /** Adopts what a platform that answers again runs of this box's. */
  takeIn(found: readonly FoundRun[]): void;
  /** Asks for a lap. `trigger` names who asked, for the log; quiet triggers log only what they change. */
  wake(trigger: WakeTrigger): void;
  /** A lap now; resolves with what it did. */
  reconcile(): Promise<ReconcileResult>;
  /** Looks for processes that carry our mark and belong to no workload, and stops them unless told not to. */
  sweepStrays(options: {
    readonly dryRun: boolean;
    readonly isMeant?: (mark: ProcessMark) => boolean;
  }): Promise<readonly StrayOutcome[]>;
  /** Ends the processes of these units and resolves with those that cannot be killed. What is expected is started anew. */
  end(isMeant: (unit: Unit) => boolean): Promise<ReadonlySet<Unit>>;
  /** Runs until the signal: a lap when something falls due, a sweep at once and every `intervalMs`. */
  run(signal: AbortSignal): Promise<void>;
  /** Stops every workload and resolves when all are gone or proved unkillable. The reconciler starts nothing afterwards. */
  stopAll(): Promise<void>;
  /** Brings the next start of waiting workloads forward: due after the delay, or as before where there is none. */
  hasten(delayMsOf: (unit: Unit) => number | undefined): void;
  units(): ReadonlyMap<string, Unit>;
  refusals(): ReadonlyMap<string, Refusal>;
  /** Expected workloads that wait for something that another has. */
  blocked(): ReadonlyMap<string, Blocked>;
}

export interface WakeTrigger {
  readonly reason: string;
  /** Log the lap's line even when nothing was to be done. */
  readonly isLoud: boolean;
}

export interface StrayOutcome {
  readonly found: FoundRun;
  readonly outcome: StopOutcome | "would-stop";
}

export interface ReconcilerOptions {
  /** Between sweeps and unasked laps. */
  readonly intervalMs: number;
  /** From the launch of a successor to its proof. */
  readonly updateDeadlineMs: number;
}

export function createReconciler(options: ReconcilerOptions, deps: EngineDeps): Reconciler {
  const units = new Map<string, Unit>();
  let refusals: ReadonlyMap<string, Refusal> = new Map();
  let blocked: ReadonlyMap<string, Blocked> = new Map();
  /** `draining`: nothing is expected any more; `closed`: laps do nothing, so that streams outlive the agent. */
  let mode: "open" | "draining" | "closed" = "open";
  let isLoud = false;
  const judge = createJudge(deps);
  let lastResult: ReconcileResult = { kept: 0, started: 0, stopped: 0 };
  let cancelDue = () => {};

  const quietly = { reason: "transition", isLoud: false };
  const forget = (id: string) => {
    const lane = units.get(id)?.lane ?? 0;
    units.delete(id);
    deps.records.remove(id, lane);
    deps.discardFiles(id);
    deps.onChange();
  };
  const drop = (unit: Unit) => {
    if (unit.role !== "main") succession.dropped(unit);
    else if (unitsOf(unit).length === 1) forget(unit.id);
    else {
      // What hangs on it has not ended yet: the plan forgets it afterwards.
      unit.phase = "waiting";
      unit.dueAtMs = deps.clock.monotonicMs();
    }
  };
  const transitions = createTransitions(deps, {
    wake: () => wake(quietly),
    drop,
    updateFailed: (unit, verdict, text) => succession.failed(unit, verdict, text),
    onTaken: (unit, kind) => {
      // Turned away while just one other of this box was let in: it serves one. Else strangers may have filled it.
      const others = [...units.values()].flatMap(unitsOf).filter((one) => one !== unit && one.handle !== undefined);
      for (const key of unit.holds ?? []) {
        if (!key.startsWith(`${kind}:`) || others.filter(({ holds }) => holds?.includes(key)).length !== 1) continue;
        deps.logFor("RECONCILE").warn(`${unit.id}: its ${kind} serves one at a time: streams take turns there`);
        judge.learn(key);
      }
    },
  });
  const succession = createSuccession(units, transitions, deps);

  const apply = (step: Step, expected: ReadonlyMap<string, Workload>) => {
    const unit = units.get(step.id);
    const workload = expected.get(step.id);
    const ladder = deps.driverOf(unit?.kind ?? "")?.stopLadder ?? DEFAULT_LADDER;
    switch (step.kind) {
      case "forget":
        forget(step.id);
        break;
      case "stop":
        if (unit !== undefined) background(deps, transitions.stop(unit, step.reason, ladder));
        break;
      case "abandon":
        if (unit !== undefined) background(deps, succession.abandon(unit, step.reason, ladder));
        break;
      case "promote":
        if (unit !== undefined) background(deps, succession.promote(unit, ladder));
        break;
      case "succeed":
      case "start": {
        const driver = workload === undefined ? undefined : deps.driverOf(workload.kind);
        if (workload === undefined || driver === undefined) break;
        if (step.kind === "succeed" && unit !== undefined) {
          background(deps, succession.begin(unit, workload, driver));
          break;
        }
        const target = unit ?? createUnit({ id: step.id, kind: workload.kind, sinceWallMs: deps.clock.wallMs() });
        units.set(step.id, target);
        background(deps, transitions.launch(target, workload, driver));
        break;
      }
    }
  };

  /** Who has failed before starts in its turn while an incident holds the box, and for a while after it. */
  const holdBack = (steps: readonly Step[]): ReadonlyMap<string, number> => {
    const held = new Map<string, number>();
    for (const step of steps) {
      if (step.kind === "succeed") {
        const failed = units.get(step.id)?.failedUpdate;
        const waitMs = failed === undefined ? 0 : deps.restraint.turnInMs(step.id);
        if (failed === undefined || waitMs <= 0) continue;
        failed.dueAtMs = deps.clock.monotonicMs() + waitMs;
        held.set(step.id, failed.dueAtMs);
        continue;
      }
      const unit = step.kind === "start" && !step.isChanged ? units.get(step.id) : undefined;
      if (unit === undefined || unit.restart.failures === 0) continue;
      const waitMs = deps.restraint.turnInMs(unit.id);
      if (waitMs <= 0) continue;
      unit.dueAtMs = deps.clock.monotonicMs() + waitMs;
      held.set(unit.id, unit.dueAtMs);
    }
    return held;
  };

  /** Starts for which there is room, the most important first; who finds none is asked for again when there is. */
  const admit = (steps: readonly Step[]): readonly Step[] => {
    const starts = new Map(steps.flatMap((step) => (step.kind === "start" ? [[step.id, step]] : [])));
    const due = [...starts.keys()].map((id) => ({ id, isNew: (units.get(id)?.generation ?? 0) === 0 }));
    const { admitted } = deps.room.admit(due);
    return [...steps.filter(({ kind }) => kind !== "start"), ...admitted.flatMap((id) => starts.get(id) ?? [])];
  };

  const lap = async (): Promise<void> => {
    if (mode === "closed") return;
    const loud = isLoud;
    isLoud = false;
    const expected = mode === "draining" ? NOTHING : deps.expected();
    const wanted = judge.judge(expected);
    refusals = reportRefusals(refusals, wanted.refusals, deps);
    const isSettled = mode === "draining" || deps.isExpectedConfirmed();
    for (const [id, unit] of units) {
      if (isSettled || expected.has(id)) unit.isUnexplained = false;
      // Another wish than the one that failed: it gets its own first try, and its own failures.
      const { specHash, rest } = wanted.expected.get(id) ?? {};
      if (rest !== undefined) transitions.rest(unit);
      if (unit.failedUpdate?.specHash !== specHash || unit.specHash === specHash) unit.failedUpdate = undefined;
    }
    const observed = new Map([...units].map(([id, unit]) => [id, toObserved(unit, options)]));
    const plan = planReconcile(observed, markShed(wanted.expected, deps.room.shed()), deps.clock.monotonicMs());
    blocked = reportBlocked(blocked, plan.blocked, deps);
    const heldUntilMs = holdBack(plan.steps);
    const steps = admit(
      plan.steps.filter(({ kind, id }) => (kind !== "start" && kind !== "succeed") || !heldUntilMs.has(id)),
    );
    for (const step of steps) apply(step, expected);

    lastResult = {
      kept: plan.kept.length,
      started: steps.filter(({ kind }) => kind === "start" || kind === "succeed").length,
      stopped: steps.filter(({ kind, id }) => {
        return (kind === "stop" || kind === "promote") && observed.get(id)?.phase === "running";
      }).length,
    };
    if (loud || lastResult.started > 0 || lastResult.stopped > 0) {
      const { kept, started, stopped } = lastResult;
      deps.logFor("RECONCILE").info(`Reconciliation completed: ${kept} kept, ${started} started, ${stopped} stopped`);
    }
    cancelDue();
    cancelDue = () => {};
    const nextDueAtMs = Math.min(plan.nextDueAtMs ?? Number.POSITIVE_INFINITY, ...heldUntilMs.values());
    if (Number.isFinite(nextDueAtMs)) {
      const timer = deps.clock.timer(Math.max(nextDueAtMs - deps.clock.monotonicMs(), 1), () => wake(quietly));
      cancelDue = () => timer.clear();
    }
  };

  const laps = createLapRunner(lap);
  const wake = (trigger: WakeTrigger) => {
    isLoud ||= trigger.isLoud;
    background(deps, laps.wake());
  };

  const takeIn = (found: readonly FoundRun[]): readonly FoundRun[] => {
    const strays = takeInFound(found, units, transitions, deps);
    wake(quietly);
    return strays;
  };

  const sweepStrays: Reconciler["sweepStrays"] = async ({ dryRun, isMeant = () => true }) => {
    const nonces = () => new Set([...units.values()].flatMap(unitsOf).map(({ nonce }) => nonce));
    const known = nonces();
    const ours = new Set([...units.values()].flatMap(unitsOf).flatMap(({ handle }) => handle?.identity?.pid ?? []));
    const found = await deps.runtime.sweep(ours);
    // A launch may have ended between the two readings: what is known now counts too.
    const unknown = found.filter(({ mark, engine }) => {
      return engine === undefined && !known.has(mark.nonce) && !nonces().has(mark.nonce) && isMeant(mark);
    });
    const strays = dryRun ? unknown : [...unknown, ...takeIn(found).filter(({ mark }) => isMeant(mark))];
    return Promise.all(
      strays.map(async (stray): Promise<StrayOutcome> => {
        if (dryRun) return { found: stray, outcome: "would-stop" };
        const handle = stray.adopt();
        if (handle === undefined) return { found: stray, outcome: "gone" };
        const { workloadId, generation } = stray.mark;
        deps
          .logFor("PID")
          .warn(`Stopping ${stray.label}: generation ${generation} of ${workloadId} is not the one we keep`);
        return {
          found: stray,
          outcome: await handle.stop(deps.driverOf(stray.mark.kind)?.stopLadder ?? DEFAULT_LADDER),
        };
      }),
    );
  };

  return {
    units: () => units,
    refusals: () => refusals,
    blocked: () => blocked,
    wake,
    hasten: (delayMsOf) => {
      for (const unit of units.values()) {
        const delayMs = unit.phase === "waiting" && unit.dueAtMs !== undefined ? delayMsOf(unit) : undefined;
        if (delayMs === undefined) continue;
        unit.dueAtMs = Math.min(unit.dueAtMs ?? Number.POSITIVE_INFINITY, deps.clock.monotonicMs() + delayMs);
      }
      wake(quietly);
    },
    sweepStrays,
    end: async (isMeant) => {
      const meant = [...units.values()].flatMap(unitsOf).filter(isMeant);
      await Promise.all(
        meant.map((unit) => transitions.stop(unit, "cleaned", deps.driverOf(unit.kind)?.stopLadder ?? DEFAULT_LADDER)),
      );
      return new Set(meant.filter(({ phase }) => phase === "unkillable"));
    },
    adopt: () => adoptRunning(units, transitions, deps),
    takeIn: (found) => void takeIn(found),
    reconcile: async () => {
      isLoud = true;
      await laps.wake();
      return lastResult;
    },
    run: async (signal) => {
      while (!signal.aborted) {
        deps.progress?.advance(SWEEP_LIMIT_MS);
        await sweepStrays({ dryRun: false }).catch((thrown: unknown) => {
          deps.logFor("PID").warn(`Could not look for strays: ${messageOf(thrown)}`);
        });
        wake(quietly);
        await laps.idle();
        deps.progress?.advance(options.intervalMs);
        await deps.clock.delay(options.intervalMs, signal).catch(() => undefined);
      }
      if (mode === "open") mode = "closed";
      cancelDue();
    },
    stopAll: async () => {
      mode = "draining";
      await laps.wake();
      // A workload without a process is there only as long as something hangs on it.
      const isLeft = ({ phase, handle }: Unit) => phase === "unkillable" || handle === undefined;
      const settled = () =>
        [...units.values()].every((unit) => {
          const all = unitsOf(unit);
          return all.every(isLeft) && all.some(({ phase }) => phase === "unkillable");
        });
      while (!settled()) {
        await deps.clock.delay(STOP_POLL_MS);
        await laps.wake();
      }
    },
  };
}

const NOTHING: ReadonlyMap<string, Workload> = new Map();
const STOP_POLL_MS = 50;
/** A sweep may have strays to stop, down to the last step of their ladder. */
const SWEEP_LIMIT_MS = 30_000;

/** For processes of a kind that this release does not know. */
const DEFAULT_LADDER = [
  { signal: "SIGTERM", graceMs: 5000, toGroup: false },
  { signal: "SIGKILL", graceMs: 3000, toGroup: true },
] as const;

function markShed(
  expected: ReadonlyMap<string, ExpectedWorkload>,
  shed: ReadonlyMap<string, string>,
): ReadonlyMap<string, ExpectedWorkload> {
  if (shed.size === 0) return expected;
  return new Map([...expected].map(([id, wanted]) => [id, shed.has(id) ? { ...wanted, isShed: true } : wanted]));
}

/** Says each refusal once. */
function reportRefusals(
  before: ReadonlyMap<string, Refusal>,
  now: ReadonlyMap<string, Refusal>,
  deps: EngineDeps,
): ReadonlyMap<string, Refusal> {
  for (const [id, refusal] of now) {
    if (before.get(id)?.message === refusal.message) continue;
    deps.logFor("RECONCILE").warn(`Refused ${id} (${refusal.rule}): ${deps.redactor.redact(refusal.message)}`);
    deps.onOccurrence({ kind: "refused", workloadId: id, text: refusal.message });
  }
  return now;
}

/** Says once who waits for whom. */
function reportBlocked(
  before: ReadonlyMap<string, Blocked>,
  now: ReadonlyMap<string, Blocked>,
  deps: EngineDeps,
): ReadonlyMap<string, Blocked> {
  for (const [id, block] of now) {
    const text = blockedText(id, block);
    const last = before.get(id);
    if (last !== undefined && blockedText(id, last) === text) continue;
    deps.logFor("RECONCILE").warn(`${id} waits: ${text}`);
    deps.onOccurrence({ kind: "waiting", workloadId: id, text });
  }
  if (before.size !== now.size || [...now.keys()].some((id) => !before.has(id))) deps.onChange();
  return now;
}

/** Transitions report their failures themselves; what still comes out of one is a fault of ours and must be seen. */
function background(deps: EngineDeps, work: Promise<void>): void {
  work.catch((thrown: unknown) => {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    deps.logFor("RECONCILE").error(`Internal fault: ${deps.redactor.redact(text)}`);
  });
}
