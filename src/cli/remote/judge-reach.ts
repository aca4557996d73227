import type { AppError } from "../../base/errors.ts";
import type { SessionView } from "../../contract/fleet/session.ts";
import { stateText } from "../wait-for-session.ts";

/** What is done after a port of a session could not be reached. */
export type ReachStep =
  | { readonly kind: "again" }
  /** It is on another box now. */
  | { readonly kind: "move"; readonly to: string }
  | { readonly kind: "wake" }
  | { readonly kind: "fail"; readonly reason: string };

export interface ReachFacts {
  readonly id: string;
  /** As the hub has it: `undefined`: there is none; `unknown`: the hub does not answer. */
  readonly session: SessionView | "unknown" | undefined;
  /** On which it could not be reached. */
  readonly box: string;
  readonly error: AppError;
  readonly mayWake: boolean;
  /** Since it could not be reached for the first time. */
  readonly waitedMs: number;
}

/** It is on its way, or asleep and being woken: as long as a person would wait for a page. */
const PATIENT_MS = 60_000;
/** It runs by all accounts: whoever dialled may have been a moment too early, and no more than that. */
const SHORT_MS = 10_000;
const FINAL: ReadonlySet<string> = new Set(["refused", "unauthorized", "unsupported", "invalid", "exhausted"]);

/** Pure. */
export function judgeReach({ id, session, box, error, mayWake, waitedMs }: ReachFacts): ReachStep {
  const again = (limitMs: number, reason = error.message): ReachStep =>
    waitedMs < limitMs ? { kind: "again" } : { kind: "fail", reason };
  if (FINAL.has(error.code)) return { kind: "fail", reason: error.message };
  if (session === undefined) return { kind: "fail", reason: `session ${id} was stopped` };
  if (session === "unknown") return again(PATIENT_MS);
  if (session.box !== undefined && session.box !== box) return { kind: "move", to: session.box };
  switch (session.state) {
    case "hibernated":
    case "hibernating": {
      const isWaking = session.power.state === "running" && (session.session?.turn ?? -1) < session.power.turn;
      if (isWaking) return again(PATIENT_MS, stateText(session));
      if (mayWake) return { kind: "wake" };
      const how = `sluice session wake ${id} wakes it, and --wake does at each connection`;
      return { kind: "fail", reason: `${stateText(session)}; ${how}` };
    }
    case "ended":
    case "failing":
    case "refused":
    case "stopping":
      return { kind: "fail", reason: stateText(session) };
    case "running":
    case "degraded":
      return again(SHORT_MS);
    case "lost":
    case "pending":
    case "starting":
    case "unplaced":
    case "waking":
      return again(PATIENT_MS, stateText(session));
  }
}
