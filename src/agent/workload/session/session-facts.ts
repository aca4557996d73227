import { availableParallelism, totalmem } from "node:os";
import type { SessionPlatformName } from "../../../contract/session-spec.ts";
import type { SessionFacts } from "../../../contract/session-status.ts";
import type { EngineStatus } from "../../runtime/workload-runtime.ts";

/** What this box can run, for its report. */
export function readSessionFacts(
  { platforms, max }: { readonly platforms: readonly SessionPlatformName[]; readonly max: number },
  platformStatus: (platform: SessionPlatformName) => EngineStatus,
): SessionFacts {
  return {
    platforms: platforms.map((platform) => ({ platform, ...platformStatus(platform) })),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    maxSessions: max,
  };
}

/** Plain processes need nothing but leave. */
export function processStatus(sessionCommands: readonly string[]): EngineStatus {
  if (sessionCommands.length > 0) return { isReady: true };
  return { isReady: false, reason: "policy.sessionCommands allows no program" };
}
