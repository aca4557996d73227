import type { WorkloadStatus } from "../../contract/local-status.ts";

export interface WorkloadMetric {
  readonly name: string;
  readonly help: string;
  /** Counters begin again with each process; Prometheus knows that of counters. */
  readonly isCounter: boolean;
  /** Undefined: this workload has no such value at the moment. */
  readonly read: (workload: WorkloadStatus) => number | undefined;
}
