import type { TunnelEndPhase } from "../../../contract/tunnel-status.ts";

/** What is known of one end at a moment. */
export interface TunnelFactsNow {
  /** Its keys are made and its ports are free, or its own process has them. */
  readonly isPrepared: boolean;
  /** Why it is not prepared. */
  readonly unprepared: string | undefined;
  /** What it waits for: its peer's certificate. */
  readonly awaits: string | undefined;
  /** Whether a process of it runs, and whether one has run before. */
  readonly process: "none" | "gone" | "running";
  /** Why there is no process. */
  readonly absence: string | undefined;
  /** Of this process; undefined: not yet proved, or never. */
  readonly isProved: boolean | undefined;
  /** Why it is not proved. */
  readonly doubt: string | undefined;
}

/** Where one end stands, and why it is not `up`. Pure. */
export function tunnelPhase(facts: TunnelFactsNow): { readonly phase: TunnelEndPhase; readonly reason?: string } {
  if (facts.process === "running") {
    if (facts.isProved === true) return { phase: "up" };
    const reason = facts.doubt ?? "its proof has not ended yet";
    return { phase: facts.isProved === false ? "degraded" : "linked", reason };
  }
  if (!facts.isPrepared) return because("preparing", facts.unprepared ?? facts.absence);
  if (facts.awaits !== undefined) return { phase: "prepared", reason: facts.awaits };
  return because(facts.process === "gone" ? "down" : "linked", facts.absence ?? "it is being started");
}

function because(phase: TunnelEndPhase, reason: string | undefined): ReturnType<typeof tunnelPhase> {
  return reason === undefined ? { phase } : { phase, reason };
}
