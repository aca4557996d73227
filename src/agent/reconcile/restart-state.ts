import type { Random } from "../../base/random.ts";
import type { ExitVerdict } from "../workload/driver.ts";

/** What a workload's past says about its next start. Pure; never final: there is always a next start. */
export interface RestartState {
  /** Failures since it last was healthy for long enough. */
  readonly failures: number;
  /** Starts after the first one, since the workload was last changed or woken. */
  readonly restarts: number;
  /** It slept, or had done its work: the next start is a wake, and none of them. */
  readonly hasRested?: true;
}

export const FRESH_RESTART: RestartState = { failures: 0, restarts: 0 };
export const RESTED: RestartState = { ...FRESH_RESTART, hasRested: true };

/** At a launch. `isSame`: it was launched before, with the same spec. */
export function atLaunch(state: RestartState, isSame: boolean): RestartState {
  return isSame && state.hasRested !== true ? { ...state, restarts: state.restarts + 1 } : FRESH_RESTART;
}

/** With the exit's discovery and the spawn the first restart stays within a quarter of a second. */
export const FIRST_DELAY_MS = 200;
const SECOND_DELAY_MS = 1000;
export const LONGEST_DELAY_MS = 60_000;
const LONGEST_EXPLAINED_DELAY_MS = 2000;
/** Healthy media for this long pays all debts. */
export const HEALTHY_RESET_MS = 60_000;

/** The ceiling of the delay after the `failures`-th failure in a row (1 is the first). */
export function delayCeilingMs(failures: number): number {
  if (failures <= 1) return FIRST_DELAY_MS;
  return Math.min(LONGEST_DELAY_MS, SECOND_DELAY_MS * 2 ** Math.min(failures - 2, 30));
}

export interface RestartDecision {
  readonly state: RestartState;
  readonly delayMs: number;
}

/** After an exit that nobody asked for, or a failed launch. */
export function afterFailure(state: RestartState, verdict: ExitVerdict, random: Random): RestartDecision {
  // Who only waits for another to let go has not failed.
  const failures = verdict.retry === "after" ? state.failures : state.failures + 1;
  return { state: { failures, restarts: state.restarts }, delayMs: Math.round(delayMs(failures, verdict, random)) };
}

/**
 * After a failure that an incident explains: it does not count, and the next start is soon, because when it really comes
 * is decided for the whole box.
 */
export function afterExplainedFailure(state: RestartState, random: Random): RestartDecision {
  const failures = Math.max(1, state.failures);
  const ceilingMs = Math.min(delayCeilingMs(failures), LONGEST_EXPLAINED_DELAY_MS);
  return { state: { ...state, failures }, delayMs: Math.round(random() * ceilingMs) };
}

function delayMs(failures: number, verdict: ExitVerdict, random: Random): number {
  switch (verdict.retry) {
    case "backoff":
      return random() * delayCeilingMs(failures);
    // A successor that has done its work at once has not shown that it can take over.
    case "never":
    case "long":
      // The same arguments fail the same way: half the jitter, so that it stays long.
      return LONGEST_DELAY_MS * (0.5 + random() / 2);
    case "after":
      return (verdict.afterMs ?? 0) + random() * FIRST_DELAY_MS;
  }
}

/** After `healthyMs` of uninterrupted healthy media. */
export function afterHealthy(state: RestartState, healthyMs: number): RestartState {
  return healthyMs >= HEALTHY_RESET_MS && state.failures > 0 ? { ...state, failures: 0 } : state;
}
