import type { HealthCause } from "../../contract/health-cause.ts";

/** Why a workload does not do its work, and whether a new process would help. */
export interface Finding {
  readonly cause: HealthCause;
  /** The evidence, in words. */
  readonly message: string;
  readonly needsRestart: boolean;
}
