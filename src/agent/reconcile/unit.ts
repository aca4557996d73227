import type { Finding } from "../health/finding.ts";
import { type MediaHealth, NEW_HEALTH } from "../health/media-health.ts";
import { provesMedia } from "../health/media-proof.ts";
import { NEW_PROCESS, type ProcessHealth } from "../health/process-health.ts";
import { NO_SOCKETS, type SocketHealth } from "../health/socket-health.ts";
import type { RegistryRecord } from "../registry/record.ts";
import type { Lane, RunHandle } from "../runtime/run-handle.ts";
import type { MediaProbe } from "../workload/driver.ts";
import type { ObservedProcess, ObservedWorkload, UnitPhase } from "./observed.ts";
import type { StopReason } from "./plan.ts";
import type { RestartState } from "./restart-state.ts";
import { FRESH_RESTART } from "./restart-state.ts";

/**
 * One workload's life in this agent. Only its own transition writes to it, one transition at a time:
 * `waiting → launching → running → stopping → waiting`, and `stopping → unkillable` where nothing ends the process.
 *
 * While a workload is updated it has a second unit: its successor until that is proved, its predecessor after it. Never
 * both at a time, but where a predecessor cannot be killed.
 */
export interface Unit {
  readonly id: string;
  readonly kind: string;
  /** Its place among the files of its workload; the other unit of the workload has the other one. */
  readonly lane: Lane;
  /** `main` units are in the reconciler's map; the others hang on one of them. */
  role: "main" | "successor" | "predecessor";
  phase: UnitPhase;
  specHash: string;
  generation: number;
  nonce: string;
  restart: RestartState;
  /** Monotonic; meaningful while waiting. */
  dueAtMs: number | undefined;
  /** Keys of what its process uses; undefined for one that was adopted and that nothing remembers. */
  holds: readonly string[] | undefined;
  /** Monotonic; when its process was launched, or found. */
  launchedAtMs: number;
  /** Of a main unit only. */
  successor: Unit | undefined;
  predecessor: Unit | undefined;
  failedUpdate: FailedUpdate | undefined;
  /** Wall time of the last change of phase. */
  sinceWallMs: number;
  handle: RunHandle | undefined;
  probe: MediaProbe | undefined;
  health: MediaHealth;
  sockets: SocketHealth;
  process: ProcessHealth;
  finding: Finding | undefined;
  /** Why the last transition happened, for people. */
  cause: string | undefined;
  lastExit: RegistryRecord["lastExit"];
  stopReason: StopReason | undefined;
  /** Found running, and nothing that survived on disk says what for. */
  isUnexplained: boolean;
  /** Ends the preparation of a launch that is no longer wanted. */
  launchAbort: AbortController | undefined;
}

/** An update that did not come about; the old process goes on. */
export interface FailedUpdate {
  readonly specHash: string;
  readonly generation: number;
  readonly restart: RestartState;
  /** Monotonic: the next attempt. */
  dueAtMs: number;
  readonly atWallMs: number;
  readonly cause: string;
}

export interface NewUnit {
  readonly id: string;
  readonly kind: string;
  readonly sinceWallMs: number;
  readonly lane?: Lane;
  readonly role?: Unit["role"];
}

export function createUnit({ id, kind, sinceWallMs, lane = 0, role = "main" }: NewUnit): Unit {
  return {
    id,
    kind,
    lane,
    role,
    phase: "waiting",
    specHash: "",
    generation: 0,
    nonce: "",
    restart: FRESH_RESTART,
    dueAtMs: undefined,
    holds: undefined,
    launchedAtMs: 0,
    successor: undefined,
    predecessor: undefined,
    failedUpdate: undefined,
    sinceWallMs,
    handle: undefined,
    probe: undefined,
    health: NEW_HEALTH,
    sockets: NO_SOCKETS,
    process: NEW_PROCESS,
    finding: undefined,
    cause: undefined,
    lastExit: undefined,
    stopReason: undefined,
    isUnexplained: false,
    launchAbort: undefined,
  };
}

/** A workload's units: itself, and what hangs on it. */
export function unitsOf(main: Unit): readonly Unit[] {
  return [main, main.successor, main.predecessor].filter((unit) => unit !== undefined);
}

/** Media for this long proves that a successor does its work. */
const PROOF_MS = 3000;

/** The unit as the plan sees it. */
export function toObserved(unit: Unit, options: { readonly updateDeadlineMs: number }): ObservedWorkload {
  const { successor, predecessor, failedUpdate } = unit;
  return {
    ...toObservedProcess(unit),
    dueAtMs: unit.dueAtMs,
    isUnexplained: unit.isUnexplained,
    failedUpdate,
    predecessor: predecessor === undefined ? undefined : toObservedProcess(predecessor),
    successor:
      successor === undefined
        ? undefined
        : {
            ...toObservedProcess(successor),
            isProven: provesMedia(successor, PROOF_MS),
            proveByMs: successor.launchedAtMs + options.updateDeadlineMs,
          },
  };
}

function toObservedProcess({ specHash, phase, holds, finding }: Unit): ObservedProcess {
  return {
    specHash,
    phase,
    ...(holds === undefined ? {} : { holds }),
    fault: finding?.needsRestart === true ? finding.message : undefined,
  };
}

/** The unit as the registry keeps it. */
export function toRecord(unit: Unit, bootId: string): RegistryRecord {
  return {
    id: unit.id,
    kind: unit.kind,
    ...(unit.lane === 0 ? {} : { lane: unit.lane }),
    ...(unit.role === "main" ? {} : { role: unit.role }),
    ...(unit.holds === undefined ? {} : { claims: [...unit.holds] }),
    phase: unit.phase === "launching" ? "starting" : unit.phase === "unkillable" ? "stopping" : unit.phase,
    ...(unit.handle?.identity === undefined
      ? {}
      : { pid: unit.handle.identity.pid, startTicks: unit.handle.identity.startTicks }),
    bootId,
    nonce: unit.nonce,
    specHash: unit.specHash,
    generation: unit.generation,
    restarts: unit.restart.restarts,
    failures: unit.restart.failures,
    ...(unit.restart.hasRested === true || isEndingForRest(unit) ? { hasRested: true } : {}),
    sinceMs: unit.sinceWallMs,
    ...(unit.lastExit === undefined ? {} : { lastExit: unit.lastExit }),
  };
}

/** An agent that dies meanwhile has still put it to rest. */
function isEndingForRest({ stopReason }: Unit): boolean {
  return stopReason === "hibernated" || stopReason === "ended";
}
