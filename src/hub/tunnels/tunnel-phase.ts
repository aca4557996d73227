import type { BoxConnection } from "../../contract/fleet/box-view.ts";
import type { TunnelPhase } from "../../contract/fleet/tunnel.ts";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import type { TunnelEndPhase, TunnelStatus } from "../../contract/tunnel-status.ts";

/** One end, as its box and the hub see it. */
export interface EndView {
  readonly boxId: string;
  readonly connection: BoxConnection;
  /** Since when nothing was heard, by the hub's clock. */
  readonly lastContactMs: number | undefined;
  /** Of this end in its present form; what the box says of an earlier form counts for nothing. */
  readonly status: TunnelStatus | undefined;
  /** Of the workload that carries the end, whatever form it has. */
  readonly workload: Pick<WorkloadStatus, "state" | "cause"> | undefined;
  /** The box has so much to tell that it left workloads out of its report. */
  readonly isCut: boolean;
  /** Why the end cannot be put on its box. */
  readonly obstacle: string | undefined;
}

export interface PhaseOfTunnel {
  readonly phase: TunnelPhase;
  /** Why it is not `up`. */
  readonly reason?: string;
}

/** How far an end is on its way up. */
const PROGRESS: readonly TunnelEndPhase[] = ["preparing", "prepared", "linked", "up"];
const PHASES: Readonly<Record<TunnelEndPhase, TunnelPhase>> = {
  preparing: "requested",
  prepared: "prepared",
  linked: "linked",
  up: "up",
  degraded: "degraded",
  down: "down",
};

/**
 * Pure. The phase of the whole is that of its worse end; the reason is that end's, with the name of its box. A tunnel that was
 * up once and whose end begins anew is `down` until that end serves again.
 */
export function phaseOf(
  ends: readonly EndView[],
  before: { readonly phase: TunnelPhase; readonly wasUp: boolean },
): PhaseOfTunnel {
  const unheard = ends.find(({ connection }) => connection === "offline" || connection === "never");
  if (unheard !== undefined) {
    return { phase: before.wasUp ? "down" : "requested", reason: unheardReason(unheard) };
  }
  // What the report had no room for is not known to have changed.
  if (ends.some(({ isCut, status }) => isCut && status === undefined)) return { phase: before.phase };
  const judged = ends.map((end) => ({ end, phase: endPhaseOf(end) }));
  for (const phase of ["down", "degraded"] as const) {
    const bad = judged.find((one) => one.phase === phase);
    if (bad !== undefined) return { phase, reason: reasonOf(bad.end) };
  }
  const [first] = judged.toSorted((one, other) => PROGRESS.indexOf(one.phase) - PROGRESS.indexOf(other.phase));
  if (first === undefined || first.phase === "up") return { phase: "up" };
  const phase = PHASES[first.phase];
  const isLost = before.wasUp && (phase === "requested" || phase === "prepared");
  return { phase: isLost ? "down" : phase, reason: reasonOf(first.end) };
}

function endPhaseOf({ status, workload, obstacle }: EndView): TunnelEndPhase {
  if (obstacle !== undefined || workload?.state === "refused") return "down";
  return status?.phase ?? "preparing";
}

function reasonOf({ boxId, status, workload, obstacle }: EndView): string {
  if (obstacle !== undefined) return `${boxId}: ${obstacle}`;
  if (workload?.state === "refused") return `${boxId} refuses it: ${workload.cause ?? "for no reason that it tells"}`;
  if (status === undefined) return `${boxId} has not taken it up yet`;
  const busy = (status.busy ?? [])
    .map(({ listen, holder }) => `${listen} is taken${holder === undefined ? "" : ` by ${holder}`}`)
    .join(", ");
  const why = [status.reason, busy].filter((text) => text !== undefined && text !== "").join("; ");
  return `${boxId}: ${why === "" ? (workload?.cause ?? status.phase) : why}`;
}

function unheardReason({ boxId, connection, lastContactMs }: EndView): string {
  if (connection === "never" || lastContactMs === undefined) return `${boxId} was never heard`;
  return `${boxId} is not heard since ${new Date(lastContactMs).toISOString()}`;
}
