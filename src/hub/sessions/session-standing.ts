import type { BoxConnection } from "../../contract/fleet/box-view.ts";
import type { SessionState } from "../../contract/fleet/session.ts";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import type { SessionPower } from "../../contract/session-spec.ts";

/** A session on its box, as both and the hub see it. */
export interface SessionSight {
  readonly boxId: string;
  readonly connection: BoxConnection;
  /** By the hub's clock. */
  readonly lastContactMs: number | undefined;
  readonly status: Pick<WorkloadStatus, "state" | "cause" | "session"> | undefined;
  /** The box has so much to tell that it left workloads out of its report. */
  readonly isCut: boolean;
  readonly power: SessionPower;
}

export interface Standing {
  readonly state: SessionState;
  /** In one line. */
  readonly reason?: string;
}

/** Pure. `before`: as it stood; a start that follows hibernation is a wake. */
export function standingOf(sight: SessionSight, before: SessionState): Standing {
  const { boxId, connection, status, isCut, power } = sight;
  if (connection === "never") return { state: "pending", reason: `${boxId} was never heard` };
  if (connection === "offline") return { state: "lost", reason: unheardText(sight) };
  if (status === undefined) {
    // What the report had no room for is not known to have changed.
    return isCut ? { state: before } : { state: "pending", reason: `${boxId} has not taken it up yet` };
  }
  const told = asTold(status, before);
  const isAsleep = status.state === "hibernated";
  const hasCarriedOut = (status.session?.turn ?? power.turn) >= power.turn;
  if (status.state === "refused") return told;
  if (power.state === "hibernated") {
    if (isAsleep) return { state: "hibernated" };
    if (status.state === "ended") return told;
    return { state: "hibernating", ...because(status.cause) };
  }
  if (isAsleep) {
    if (!hasCarriedOut) return { state: "waking", ...because(status.cause) };
    const isIdle = status.session?.sleep?.because === "idle";
    return { state: "hibernated", ...(isIdle ? { reason: "nothing used it, so it went to sleep" } : {}) };
  }
  if (status.state === "ended" && !hasCarriedOut) return { state: "starting" };
  return told;
}

function asTold(status: NonNullable<SessionSight["status"]>, before: SessionState): Standing {
  const { state, cause, session } = status;
  switch (state) {
    case "running":
      return { state };
    case "degraded":
      return { state, ...because(cause) };
    case "starting": {
      const wasAsleep = before === "hibernated" || before === "waking";
      return { state: wasAsleep ? "waking" : "starting", ...because(cause) };
    }
    case "ended":
      return { state, ...because(session?.ended?.reason ?? cause) };
    case "refused":
      return { state, ...because(cause) };
    case "hibernated":
      return { state };
    case "stopping":
      return { state: "starting", reason: cause ?? "its last process is being stopped" };
    case "waiting":
    case "stalled":
    case "unkillable":
      return { state: "failing", ...because(cause) };
  }
}

function because(reason: string | undefined): { readonly reason?: string } {
  return reason === undefined ? {} : { reason };
}

function unheardText({ boxId, lastContactMs }: Pick<SessionSight, "boxId" | "lastContactMs">): string {
  if (lastContactMs === undefined) return `${boxId} was never heard`;
  return `${boxId} is not heard since ${new Date(lastContactMs).toISOString()}`;
}
