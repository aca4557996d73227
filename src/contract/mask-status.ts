import type { WorkloadStatus } from "./local-status.ts";
import { maskWorkload } from "./mask-workload.ts";

/** Pure. What a box tells of a workload as it may be shown: of a session that its hub forgot it tells the whole spec. */
export function maskStatus(status: WorkloadStatus): WorkloadStatus {
  const { session } = status;
  if (session?.unclaimed === undefined) return status;
  return { ...status, session: { ...session, unclaimed: maskWorkload(session.unclaimed) } };
}
