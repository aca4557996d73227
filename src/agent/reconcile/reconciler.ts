import { messageOf } from "../../base/errors.ts";
import { createLapRunner } from "../../base/lap-runner.ts";
import type { ReconcileResult } from "../../contract/local-status.ts";
import type { Workload } from "../../contract/workload.ts";
import type { FoundProcess, StopOutcome } from "../runtime/process/process-runtime.ts";
import type { Refusal } from "../workload/driver.ts";
import { adoptRunning } from "./adopt.ts";
import type { EngineDeps } from "./engine-deps.ts";
import { type ExpectedWorkload, planReconcile, type Step } from "./plan.ts";
import { createTransitions } from "./transitions.ts";
import { createUnit, toObserved, type Unit } from "./unit.ts";

/**
 * The one controller: every trigger wakes it, and a lap observes, plans and applies. Laps are short: what takes time
 * runs in a unit's own transition and wakes the next lap when it ends.
 */
export interface Reconciler {
  /** Adopts what already runs. Call once, before the first lap. */
  adopt(): Promise<void>;
  /** Asks for a lap. `trigger` names who asked, for the log; quiet triggers log only what they change. */
  wake(trigger: WakeTrigger): void;
  /** A lap now; resolves with what it did. */
  reconcile(): Promise<ReconcileResult>;
  /** Looks for processes that carry our mark and belong to no workload, and stops them unless told not to. */
  sweepStrays(options: { readonly dryRun: boolean }): Promise<readonly StrayOutcome[]>;
  /** Runs until the signal: a lap when something falls due, a sweep at once and every `intervalMs`. */
  run(signal: AbortSignal): Promise<void>;
  /** Stops every workload and resolves when all are gone or proved unkillable. The reconciler starts nothing afterwards. */
  stopAll(): Promise<void>;
  /** Brings the next start of waiting workloads forward: due after the delay, or as before where there is none. */
  hasten(delayMsOf: (unit: Unit) => number | undefined): void;
  units(): ReadonlyMap<string, Unit>;
  refusals(): ReadonlyMap<string, Refusal>;
}

export interface WakeTrigger {
  readonly reason: string;
  /** Log the lap's line even when nothing was to be done. */
  readonly isLoud: boolean;
}

export interface StrayOutcome {
  readonly found: FoundProcess;
  readonly outcome: StopOutcome | "would-stop";
}

export interface ReconcilerOptions {
  /** Between sweeps and unasked laps. */
  readonly intervalMs: number;
}

export function createReconciler(options: ReconcilerOptions, deps: EngineDeps): Reconciler {
  const units = new Map<string, Unit>();
  let refusals: ReadonlyMap<string, Refusal> = new Map();
  /** `draining`: nothing is expected any more; `closed`: laps do nothing, so that streams outlive the agent. */
  let mode: "open" | "draining" | "closed" = "open";
  let isLoud = false;
  const judge = createJudge(deps);
  let lastResult: ReconcileResult = { kept: 0, started: 0, stopped: 0 };
  let cancelDue = () => {};

  const quietly = { reason: "transition", isLoud: false };
  const forget = (id: string) => {
    units.delete(id);
    deps.records.remove(id);
    deps.discardFiles(id);
    deps.onChange();
  };
  const transitions = createTransitions(deps, { wake: () => wake(quietly), drop: ({ id }) => forget(id) });

  const apply = (step: Step, expected: ReadonlyMap<string, Workload>) => {
    const unit = units.get(step.id);
    const workload = expected.get(step.id);
    switch (step.kind) {
      case "forget":
        forget(step.id);
        break;
      case "stop": {
        if (unit === undefined) break;
        const ladder = deps.driverOf(unit.kind)?.stopLadder ?? DEFAULT_LADDER;
        background(deps, transitions.stop(unit, step.reason, ladder));
        break;
      }
      case "start": {
        const driver = workload === undefined ? undefined : deps.driverOf(workload.kind);
        if (workload === undefined || driver === undefined) break;
        const target = unit ?? createUnit(step.id, workload.kind, deps.clock.wallMs());
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
    const wanted = judge(expected);
    refusals = reportRefusals(refusals, wanted.refusals, deps);
    const isSettled = mode === "draining" || deps.isExpectedConfirmed();
    for (const [id, unit] of units) if (isSettled || expected.has(id)) unit.isUnexplained = false;
    const observed = new Map([...units].map(([id, unit]) => [id, toObserved(unit)]));
    const plan = planReconcile(observed, markShed(wanted.expected, deps.room.shed()), deps.clock.monotonicMs());
    const heldUntilMs = holdBack(plan.steps);
    const steps = admit(plan.steps.filter(({ kind, id }) => kind !== "start" || !heldUntilMs.has(id)));
    for (const step of steps) apply(step, expected);

    lastResult = {
      kept: plan.kept.length,
      started: steps.filter(({ kind }) => kind === "start").length,
      stopped: steps.filter((step) => step.kind === "stop" && observed.get(step.id)?.phase === "running").length,
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

  const sweepStrays: Reconciler["sweepStrays"] = async ({ dryRun }) => {
    const nonces = () => new Set([...units.values()].map((unit) => unit.nonce));
    const known = nonces();
    const ours = new Set([...units.values()].flatMap(({ handle }) => handle?.identity.pid ?? []));
    const found = await deps.runtime.sweep(ours);
    // A launch may have ended between the two readings: what is known now counts too.
    const strays = found.filter(({ mark }) => !known.has(mark.nonce) && !nonces().has(mark.nonce));
    return Promise.all(
      strays.map(async (stray): Promise<StrayOutcome> => {
        if (dryRun) return { found: stray, outcome: "would-stop" };
        const handle = deps.runtime.adopt(stray.identity, stray.mark);
        if (handle === undefined) return { found: stray, outcome: "gone" };
        const { workloadId, generation } = stray.mark;
        deps
          .logFor("PID")
          .warn(`Stopping pid ${stray.identity.pid}: generation ${generation} of ${workloadId} is not the one we keep`);
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
    adopt: () => adoptRunning(units, transitions, deps),
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
      const settled = () => [...units.values()].every(({ phase }) => phase === "unkillable");
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

interface Judgement {
  readonly expected: ReadonlyMap<string, ExpectedWorkload>;
  readonly refusals: ReadonlyMap<string, Refusal>;
}

/**
 * What the plan must know of each expected workload, and why some are not run. An admitted workload is judged once: it
 * is never changed in place. A refused one is judged again in each lap, because what refused it may have been mended.
 */
function createJudge(deps: EngineDeps): (workloads: ReadonlyMap<string, Workload>) => Judgement {
  const admitted = new WeakMap<Workload, ExpectedWorkload>();

  const judgeOne = (workload: Workload): ExpectedWorkload | Refusal => {
    const known = admitted.get(workload);
    if (known !== undefined) return known;
    const driver = deps.driverOf(workload.kind);
    if (driver === undefined) return { rule: "kind", message: `this box cannot run a ${workload.kind}` };
    const refusal = driver.admit(workload);
    if (refusal !== undefined) return refusal;
    const judged = { specHash: driver.specHash(workload), isRefused: false };
    admitted.set(workload, judged);
    return judged;
  };

  return (workloads) => {
    const expected = new Map<string, ExpectedWorkload>();
    const refusals = new Map<string, Refusal>();
    for (const [id, workload] of workloads) {
      const judged = judgeOne(workload);
      if ("rule" in judged) refusals.set(id, judged);
      expected.set(id, "rule" in judged ? { specHash: "", isRefused: true } : judged);
    }
    return { expected, refusals };
  };
}

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

/** Transitions report their failures themselves; what still comes out of one is a fault of ours and must be seen. */
function background(deps: EngineDeps, work: Promise<void>): void {
  work.catch((thrown: unknown) => {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    deps.logFor("RECONCILE").error(`Internal fault: ${deps.redactor.redact(text)}`);
  });
}
