import type { WorkloadState } from "../contract/workload.ts";
import type { Tone } from "./paint.ts";

export const WORKLOAD_TONES: Readonly<Record<WorkloadState, Tone>> = {
  waiting: "warn",
  starting: "warn",
  running: "good",
  degraded: "warn",
  stalled: "bad",
  stopping: "warn",
  hibernated: "good",
  ended: "good",
  unkillable: "bad",
  refused: "bad",
};
