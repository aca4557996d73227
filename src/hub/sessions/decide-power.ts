import { AppError } from "../../base/errors.ts";
import type { SessionState } from "../../contract/fleet/session.ts";
import type { SessionPower } from "../../contract/session-spec.ts";
import type { SessionStatus } from "../../contract/session-status.ts";

export interface PowerSight {
  readonly id: string;
  readonly state: SessionState;
  readonly reason?: string | undefined;
  readonly power: SessionPower;
  readonly session?: Pick<SessionStatus, "sleep" | "turn"> | undefined;
}

const CANNOT_SLEEP: ReadonlySet<SessionState> = new Set(["unplaced", "ended", "refused", "stopping"]);
const CANNOT_WAKE: ReadonlySet<SessionState> = new Set(["refused", "stopping"]);
const CAN_BE_TOUCHED: ReadonlySet<SessionState> = new Set(["starting", "running", "degraded", "waking"]);

/** Pure. The power that it is to have; the same one: nothing has to be written. `conflict` where it makes no sense in its state. */
export function decideHibernate(sight: PowerSight): SessionPower {
  const { power, state } = sight;
  if (state === "stopping" || (power.state === "running" && CANNOT_SLEEP.has(state))) {
    throw senseless(sight, "allowed: one that runs");
  }
  return power.state === "hibernated" ? power : { state: "hibernated", turn: nextTurn(sight) };
}

/**
 * Pure. As `decideHibernate`. One that sleeps of its own accord is woken by a later turn, one that has ended starts anew, and one that
 * waits on its box for a later word has it.
 */
export function decideWake(sight: PowerSight): SessionPower {
  const { power, state, session } = sight;
  if (CANNOT_WAKE.has(state)) throw senseless(sight, "allowed: one that is hibernated or has ended");
  const isAtRest = state === "hibernated" || state === "ended" || state === "failing" || session?.sleep !== undefined;
  // A wake that is under way is not begun again.
  const isDue = power.state === "hibernated" || (isAtRest && (session?.turn ?? power.turn) >= power.turn);
  return isDue ? { state: "running", turn: nextTurn(sight) } : power;
}

/** Later than any that its box has heard of. */
function nextTurn({ power, session }: PowerSight): number {
  return Math.max(power.turn, session?.turn ?? 0) + 1;
}

/** Pure. `conflict` for one that nobody can use now. */
export function requireTouchable(sight: PowerSight): void {
  if (!CAN_BE_TOUCHED.has(sight.state)) throw senseless(sight, "allowed: one that runs");
}

function senseless({ id, state, reason }: PowerSight, allowed: string): AppError {
  const why = reason === undefined ? "" : ` (${reason})`;
  return new AppError("conflict", `session ${id} is ${state}${why}; ${allowed}`);
}
