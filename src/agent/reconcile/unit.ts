import type { Finding, MediaHealth } from "../health/media-health.ts";
import { NEW_HEALTH } from "../health/media-health.ts";
import type { RegistryRecord } from "../registry/record.ts";
import type { ProcessHandle } from "../runtime/process/process-runtime.ts";
import type { MediaProbe } from "../workload/driver.ts";
import type { ObservedWorkload, StopReason } from "./plan.ts";
import type { RestartState } from "./restart-state.ts";
import { FRESH_RESTART } from "./restart-state.ts";

/**
 * One workload's life in this agent. Only its own transition writes to it, one transition at a time:
 * `waiting → launching → running → stopping → waiting`, and `stopping → unkillable` where nothing ends the process.
 */
export interface Unit {
  readonly id: string;
  readonly kind: string;
  phase: ObservedWorkload["phase"];
  specHash: string;
  generation: number;
  nonce: string;
  restart: RestartState;
  /** Monotonic; meaningful while waiting. */
  dueAtMs: number | undefined;
  /** Wall time of the last change of phase. */
  sinceWallMs: number;
  handle: ProcessHandle | undefined;
  probe: MediaProbe | undefined;
  health: MediaHealth;
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

export function createUnit(id: string, kind: string, sinceWallMs: number): Unit {
  return {
    id,
    kind,
    phase: "waiting",
    specHash: "",
    generation: 0,
    nonce: "",
    restart: FRESH_RESTART,
    dueAtMs: undefined,
    sinceWallMs,
    handle: undefined,
    probe: undefined,
    health: NEW_HEALTH,
    finding: undefined,
    cause: undefined,
    lastExit: undefined,
    stopReason: undefined,
    isUnexplained: false,
    launchAbort: undefined,
  };
}

/** The unit as the plan sees it. */
export function toObserved(unit: Unit): ObservedWorkload {
  return {
    specHash: unit.specHash,
    phase: unit.phase,
    dueAtMs: unit.dueAtMs,
    fault: unit.finding?.needsRestart === true ? unit.finding.message : undefined,
    isUnexplained: unit.isUnexplained,
  };
}

/** The unit as the registry keeps it. */
export function toRecord(unit: Unit, bootId: string): RegistryRecord {
  return {
    id: unit.id,
    kind: unit.kind,
    phase: unit.phase === "launching" ? "starting" : unit.phase === "unkillable" ? "stopping" : unit.phase,
    ...(unit.handle === undefined
      ? {}
      : { pid: unit.handle.identity.pid, startTicks: unit.handle.identity.startTicks }),
    bootId,
    nonce: unit.nonce,
    specHash: unit.specHash,
    generation: unit.generation,
    restarts: unit.restart.restarts,
    failures: unit.restart.failures,
    sinceMs: unit.sinceWallMs,
    ...(unit.lastExit === undefined ? {} : { lastExit: unit.lastExit }),
  };
}
