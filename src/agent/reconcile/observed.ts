import type { Awaiting, Claim } from "../workload/driver.ts";
import type { Rest } from "./rest.ts";

export type UnitPhase = "launching" | "running" | "stopping" | "waiting" | "unkillable";

/** One process of a workload, proved against the kernel. */
export interface ObservedProcess {
  readonly specHash: string;
  /**
   * - `launching`, `stopping`: a transition is under way;
   * - `running`: has a process;
   * - `waiting`: has none, the next start is due at `dueAtMs`;
   * - `unkillable`: has a process that nothing ends.
   */
  readonly phase: UnitPhase;
  /** Keys of what it uses. Absent: nobody knows, because what it was started with is not remembered. */
  readonly holds?: readonly string[];
  /** Why it must be replaced although its spec did not change. */
  readonly fault: string | undefined;
}

/** What really runs of a workload. */
export interface ObservedWorkload extends ObservedProcess {
  readonly dueAtMs: number | undefined;
  /** Nobody can say yet whether it is expected: it stays until somebody can. */
  readonly isUnexplained?: boolean;
  /** Its next self, started beside it. */
  readonly successor?: ObservedSuccessor | undefined;
  /** Its old self, which has been replaced and is not gone yet. */
  readonly predecessor?: ObservedProcess | undefined;
  /** The last attempt at an update has failed: the same one is tried again when it falls due. */
  readonly failedUpdate?: { readonly specHash: string; readonly dueAtMs: number } | undefined;
}

export interface ObservedSuccessor extends ObservedProcess {
  /** Its media flows, and what it sends is acknowledged. */
  readonly isProven: boolean;
  /** It must be proved by then. */
  readonly proveByMs: number;
}

export interface ExpectedWorkload {
  readonly specHash: string;
  /** The box does not run it, whatever the hub says. */
  readonly isRefused: boolean;
  /** The box has no room for it: it is stopped, and not started. */
  readonly isShed?: boolean;
  /** It is stopped, and not started, until it is to wake or to begin again. */
  readonly rest?: Rest;
  /** What it uses that serves one at a time. */
  readonly claims?: readonly Claim[];
  /** What has to be there before it is started. */
  readonly awaits?: Awaiting;
  /** It may run beside its old self for a while. */
  readonly mayOverlap?: boolean;
}
