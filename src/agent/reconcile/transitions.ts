import { toAppError } from "../../contract/error-code.ts";
import type { Workload } from "../../contract/workload.ts";
import { NEW_HEALTH } from "../health/media-health.ts";
import { NEW_PROCESS } from "../health/process-health.ts";
import { NO_SOCKETS } from "../health/socket-health.ts";
import { laneName } from "../runtime/process/workload-files.ts";
import type { ProcessExit, RunHandle, StopLadder } from "../runtime/run-handle.ts";
import type { ClaimKind, ExitVerdict, WorkloadDriver } from "../workload/driver.ts";
import { componentOf } from "./component-of.ts";
import type { EngineDeps } from "./engine-deps.ts";
import type { StopReason } from "./plan.ts";
import { afterExplainedFailure, afterFailure, atLaunch, FRESH_RESTART, RESTED } from "./restart-state.ts";
import { toRecord, type Unit } from "./unit.ts";

/**
 * Carries out the plan's steps on one unit. Each transition runs by itself, so that a stuck workload holds up no other,
 * and calls `wake` when it has ended.
 */
export interface Transitions {
  launch(unit: Unit, workload: Workload, driver: WorkloadDriver): Promise<void>;
  stop(unit: Unit, reason: StopReason, ladder: StopLadder): Promise<void>;
  /** It sleeps or has ended, whatever it was waiting for: it owes nothing, and wakes at once. */
  rest(unit: Unit): void;
  /** Takes over a process that was proved to be ours. */
  takeOver(unit: Unit, handle: RunHandle, driver: WorkloadDriver | undefined): void;
}

export interface TransitionHooks {
  readonly wake: () => void;
  /** The unit has ended and nothing is to remember it by. */
  readonly drop: (unit: Unit) => void;
  /** A successor has ended without having taken over. */
  readonly updateFailed: (successor: Unit, verdict: ExitVerdict, text: string) => void;
  /** What a workload claims of this kind has shown that it serves one at a time. */
  readonly onTaken: (unit: Unit, kind: ClaimKind) => void;
}

export function createTransitions(deps: EngineDeps, hooks: TransitionHooks): Transitions {
  const { clock } = deps;
  /** Spawning forks this process, which blocks it for a moment: one at a time, with room for others in between. */
  let spawnTurn: Promise<unknown> = Promise.resolve();

  const enter = (unit: Unit, phase: Unit["phase"], cause: string | undefined) => {
    unit.phase = phase;
    unit.cause = cause;
    unit.sinceWallMs = clock.wallMs();
    deps.records.put(toRecord(unit, deps.bootId));
    deps.onChange();
  };

  const inSpawnTurn = <T>(spawn: () => Promise<T>): Promise<T> => {
    const turn = spawnTurn.then(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return spawn();
    });
    spawnTurn = turn.catch(() => undefined);
    return turn;
  };

  const watch = (unit: Unit, handle: RunHandle, driver: WorkloadDriver | undefined) => {
    unit.handle = handle;
    unit.health = NEW_HEALTH;
    unit.sockets = NO_SOCKETS;
    unit.process = NEW_PROCESS;
    unit.finding = undefined;
    const files = deps.filesOf(unit.id, unit.lane);
    unit.launchedAtMs = clock.monotonicMs();
    deps.pump.attach(laneName(unit.id, unit.lane), files, {
      workloadId: unit.id,
      kind: unit.kind,
      output: handle.output,
    });
    unit.probe = driver?.openProbe(files);
    void handle.exited.then((exit) => {
      if (unit.handle === handle) ended(unit, exit, driver);
    });
  };

  const ended = (unit: Unit, exit: ProcessExit, driver: WorkloadDriver | undefined) => {
    const name = laneName(unit.id, unit.lane);
    deps.pump.flush(name);
    const verdict = deps.room.wasKilledForMemory({ workloadId: unit.id, generation: unit.generation })
      ? OOM_VERDICT
      : (driver?.classifyExit(exit, deps.pump.tail(name), deps.expected().get(unit.id)) ?? UNKNOWN_VERDICT);
    const label = unit.handle?.label;
    const { stopReason, finding } = unit;
    release(unit);
    unit.lastExit = {
      atMs: clock.wallMs(),
      code: exit.code,
      signal: exit.signal,
      class: stopReason === undefined ? verdict.class : finding === undefined ? "asked" : finding.cause,
      ...(stopReason === undefined && verdict.evidence !== undefined ? { evidence: verdict.evidence } : {}),
    };
    const log = deps.logFor(componentOf(unit.kind));
    switch (stopReason) {
      case "not-expected":
      case "refused":
      case "replaced":
      case "superseded":
        log.info(`Stopped ${unit.id} (${label}, ${exitText(exit)})`);
        hooks.drop(unit);
        break;
      case "changed":
      case "cleaned":
        log.info(
          `Stopped ${unit.id} (${label}, ${exitText(exit)}) ${stopReason === "changed" ? "to start it with its new settings" : "for a cleanup"}`,
        );
        if (unit.role !== "main") {
          hooks.drop(unit);
          break;
        }
        unit.restart = FRESH_RESTART;
        unit.dueAtMs = clock.monotonicMs();
        enter(unit, "waiting", STOP_CAUSE[stopReason](unit));
        break;
      case "shed": {
        const reason = deps.room.shed().get(unit.id) ?? "there was no room for it";
        log.warn(`Stopped ${unit.id} (${label}, ${exitText(exit)}): ${reason}`);
        if (unit.role !== "main") {
          hooks.drop(unit);
          break;
        }
        unit.dueAtMs = clock.monotonicMs();
        enter(unit, "waiting", reason);
        break;
      }
      case "hibernated":
      case "ended":
        log.info(`Stopped ${unit.id} (${label}, ${exitText(exit)}): ${STOP_CAUSE[stopReason](unit)}`);
        rest(unit, STOP_CAUSE[stopReason](unit));
        break;
      case "unproven":
        wait(unit, { class: "unproven", retry: "backoff" }, STOP_CAUSE.unproven(unit));
        break;
      case "unhealthy":
        wait(unit, { class: finding?.cause ?? "unhealthy", retry: "backoff" }, `${finding?.message ?? "unhealthy"}`);
        break;
      case undefined:
        if (verdict.retry === "never" && unit.role === "main") {
          const text = `${exitText(exit)}, ${verdict.class}`;
          log.info(`${unit.id} has ended (${label}, ${text})`);
          rest(unit, text);
          deps.onFinished(unit, text);
          deps.onOccurrence({ kind: "exit", workloadId: unit.id, text });
          break;
        }
        if (verdict.taken !== undefined) hooks.onTaken(unit, verdict.taken);
        wait(
          unit,
          verdict,
          `${exitText(exit)}, ${verdict.class}${verdict.evidence === undefined ? "" : `: ${verdict.evidence}`}`,
        );
        break;
    }
    hooks.wake();
  };

  /** Not running, and nothing is wrong: what keeps it from being started is asked in each lap. */
  const rest = (unit: Unit, text: string) => {
    unit.restart = RESTED;
    unit.dueAtMs = clock.monotonicMs();
    enter(unit, "waiting", text);
  };

  /** Not running; when the next start is due follows from the verdict. */
  const wait = (unit: Unit, verdict: ExitVerdict, text: string) => {
    if (unit.role === "successor") {
      hooks.updateFailed(unit, verdict, text);
      return;
    }
    const evidence = verdict.evidence ?? text;
    const isExplained = deps.restraint.failed({ id: unit.id, class: verdict.class, evidence });
    const { state, delayMs } = isExplained
      ? afterExplainedFailure(unit.restart, deps.random)
      : afterFailure(unit.restart, verdict, deps.random);
    unit.restart = state;
    unit.dueAtMs = clock.monotonicMs() + delayMs;
    enter(unit, "waiting", text);
    const message = `${unit.id} ended (${text}), next start in ${(delayMs / 1000).toFixed(1)} s`;
    const log = deps.logFor(componentOf(unit.kind));
    if (verdict.retry === "long") log.error(message);
    else log.warn(message);
    deps.onOccurrence({ kind: "exit", workloadId: unit.id, text });
  };

  const release = (unit: Unit) => {
    unit.probe?.close();
    unit.probe = undefined;
    unit.handle = undefined;
    unit.stopReason = undefined;
    unit.finding = undefined;
    deps.pump.detach(laneName(unit.id, unit.lane));
  };

  return {
    launch: async (unit, workload, driver) => {
      const abort = new AbortController();
      unit.launchAbort = abort;
      const specHash = driver.specHash(workload);
      unit.restart = atLaunch(unit.restart, unit.generation > 0 && unit.specHash === specHash);
      unit.specHash = specHash;
      unit.generation += 1;
      unit.nonce = deps.newNonce();
      unit.dueAtMs = undefined;
      unit.holds = driver.claims(workload).map(({ key }) => key);
      unit.phase = "launching";
      const files = deps.filesOf(unit.id, unit.lane);
      try {
        const launch = await driver.prepare(workload, files, abort.signal);
        // The intent is on disk before the process exists: whoever comes after a crash in between knows what to look for.
        enter(unit, "launching", undefined);
        await deps.records.commit();
        abort.signal.throwIfAborted();
        const mark = {
          boxId: deps.boxId,
          workloadId: unit.id,
          kind: unit.kind,
          generation: unit.generation,
          nonce: unit.nonce,
          specHash: unit.specHash,
          ...(unit.lane === 0 ? {} : { lane: unit.lane }),
        };
        const start = () => deps.runtime.start(mark, launch, files);
        // A platform may take minutes, and blocks nobody here.
        const handle = "engine" in launch ? await start() : await inSpawnTurn(start);
        watch(unit, handle, driver);
        enter(unit, "running", undefined);
        deps.logFor(componentOf(unit.kind)).info(`Started ${unit.id} (${handle.label}) ${driver.describe(workload)}`);
        deps.onOccurrence({ kind: "start", workloadId: unit.id, text: handle.label });
      } catch (thrown) {
        if (abort.signal.aborted) {
          hooks.drop(unit);
        } else {
          const error = toAppError(thrown);
          const retry =
            error.code === "not-found" || error.code === "refused" || error.code === "invalid" ? "long" : "backoff";
          wait(unit, { class: error.code, retry }, `could not start: ${deps.redactor.redact(error.message)}`);
        }
      } finally {
        unit.launchAbort = undefined;
        hooks.wake();
      }
    },

    stop: async (unit, reason, ladder) => {
      if (unit.phase === "launching") {
        unit.launchAbort?.abort();
        return;
      }
      const { handle } = unit;
      if (handle === undefined) return;
      unit.stopReason = reason;
      enter(unit, "stopping", STOP_CAUSE[reason](unit));
      const outcome = await handle.stop(ladder);
      if (outcome === "unkillable" && unit.handle === handle) {
        const why = handle.identity === undefined ? "its platform has not ended it" : "it survived SIGKILL";
        enter(unit, "unkillable", `${why}; nothing is started in its place until it is gone`);
        const where =
          handle.identity === undefined ? "its platform has not ended it in time" : "it is stuck in the kernel";
        deps.logFor("PID").error(`${unit.id} (${handle.label}) cannot be killed: ${where}`);
        hooks.wake();
      }
    },

    rest: (unit) => {
      if (unit.phase !== "waiting" || unit.restart.hasRested === true) return;
      unit.restart = RESTED;
      unit.dueAtMs = clock.monotonicMs();
      deps.records.put(toRecord(unit, deps.bootId));
    },

    takeOver: (unit, handle, driver) => {
      unit.specHash = handle.mark.specHash;
      unit.generation = handle.mark.generation;
      unit.nonce = handle.mark.nonce;
      watch(unit, handle, driver);
      unit.phase = "running";
      unit.cause = "adopted";
      deps.records.put(toRecord(unit, deps.bootId));
    },
  };
}

/** The kernel's own count, which no exit status tells. */
const OOM_VERDICT: ExitVerdict = {
  class: "oom-killed",
  retry: "backoff",
  evidence: "the kernel ended it at its memory limit",
};

const UNKNOWN_VERDICT: ExitVerdict = { class: "unknown", retry: "backoff" };

const STOP_CAUSE: Readonly<Record<StopReason, (unit: Unit) => string>> = {
  "not-expected": () => "nothing expects it any more",
  refused: () => "the box's policy refuses it",
  changed: () => "its settings changed",
  cleaned: () => "a cleanup ended it",
  shed: () => "there is no room for it",
  hibernated: () => "it sleeps",
  ended: () => "it has had its time",
  unhealthy: (unit) => unit.finding?.message ?? "unhealthy",
  replaced: () => "its new process has taken over",
  superseded: () => "something else is wanted by now",
  unproven: ({ health }) => (health.hasMoved ? "its media was not steady in time" : "it made no media in time"),
};

/** `exit 1`, `killed by SIGKILL`; an adopted process's status went to another parent, and a cluster tells none. */
export function exitText(exit: {
  readonly code: number | null;
  readonly signal: string | null;
  readonly isAdopted?: boolean;
}): string {
  if (exit.signal !== null) return `killed by ${exit.signal}`;
  if (exit.code !== null) return `exit ${exit.code}`;
  return exit.isAdopted === false ? "exit status unknown" : "exit status unknown, it was adopted";
}
