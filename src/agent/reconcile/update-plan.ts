import type { Blocked } from "./allocate.ts";
import type { ExpectedWorkload, ObservedWorkload } from "./observed.ts";

/**
 * How a workload that runs becomes what is expected of it now. Pure. Make before break where it can be: the new process
 * is started beside the old one, which ends only once the new one's media is proved.
 *
 * - `replace`: stop the old process first;
 * - `succeed`: start the new one beside it;
 * - `promote`: the new one takes over, the old one ends;
 * - `abandon`: the new one ends, the old one goes on;
 * - `wait`: until something ends by itself, or until `untilMs`.
 */
export type UpdateDecision =
  | { readonly do: "replace" | "succeed" | "promote" }
  | { readonly do: "abandon"; readonly reason: "superseded" | "unhealthy" | "unproven" }
  | { readonly do: "wait"; readonly untilMs?: number };

export interface UpdateContext {
  readonly nowMs: number;
  /** What the new spec needs and another has. */
  readonly blocked: Blocked | undefined;
  /** It holds what another waits for that holds what it waits for. */
  readonly mustYield: boolean;
}

/** For a workload whose own process is launching or running with another spec than the expected one. */
export function decideUpdate(seen: ObservedWorkload, wanted: ExpectedWorkload, context: UpdateContext): UpdateDecision {
  if (seen.successor !== undefined) return decideSuccessor(seen, seen.successor, { wanted, nowMs: context.nowMs });
  // Two processes of a workload are the most there may be.
  if (seen.predecessor !== undefined && seen.predecessor.phase !== "unkillable") return { do: "wait" };
  // What its new settings wait for would take longer than nothing: the old ones go on meanwhile.
  if (context.blocked !== undefined && "text" in context.blocked && wanted.mayOverlap === true) return { do: "wait" };
  if (seen.predecessor !== undefined || !canOverlap(seen, wanted)) return { do: "replace" };
  if (context.blocked !== undefined) return { do: context.mustYield ? "replace" : "wait" };
  const { failedUpdate } = seen;
  if (failedUpdate?.specHash === wanted.specHash && failedUpdate.dueAtMs > context.nowMs) {
    return { do: "wait", untilMs: failedUpdate.dueAtMs };
  }
  return { do: "succeed" };
}

function decideSuccessor(
  seen: ObservedWorkload,
  successor: NonNullable<ObservedWorkload["successor"]>,
  { wanted, nowMs }: { readonly wanted: ExpectedWorkload; readonly nowMs: number },
): UpdateDecision {
  if (successor.phase === "stopping" || successor.phase === "unkillable") return { do: "wait" };
  if (successor.specHash !== wanted.specHash) return { do: "abandon", reason: "superseded" };
  // An old process that does no work any more is not worth waiting for.
  if (successor.isProven || seen.fault !== undefined) return { do: "promote" };
  if (successor.phase === "launching") return { do: "wait" };
  if (successor.fault !== undefined) return { do: "abandon", reason: "unhealthy" };
  if (nowMs >= successor.proveByMs) return { do: "abandon", reason: "unproven" };
  return { do: "wait", untilMs: successor.proveByMs };
}

/** A process that has not begun, or that does no work, has nothing to keep going for. */
function canOverlap(seen: ObservedWorkload, wanted: ExpectedWorkload): boolean {
  const { holds } = seen;
  if (wanted.mayOverlap !== true || seen.phase !== "running" || seen.fault !== undefined || holds === undefined) {
    return false;
  }
  return !(wanted.claims ?? []).some(({ key }) => holds.includes(key));
}
