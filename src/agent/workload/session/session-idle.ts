import type { SessionRunSpec } from "../../../contract/session-spec.ts";
import type { ACTIVITY_SOURCES } from "../../../contract/session-status.ts";

/** Whether a session is used, from what was seen of it. Pure. Times are monotonic milliseconds. */
export type ActivitySource = (typeof ACTIVITY_SOURCES)[number];

export interface Activity {
  readonly atMs: number;
  readonly source: ActivitySource;
}

export interface ActivityFacts {
  readonly nowMs: number;
  /** To its ports; undefined where nobody could count them. */
  readonly openConnections: number | undefined;
  /** Of one core, over the last seconds; undefined until two readings. */
  readonly cpuPercent: number | undefined;
}

type ActivitySpec = Pick<SessionRunSpec, "activity" | "template">;

export function countsConnections({ activity, template: { ports = [] } }: ActivitySpec): boolean {
  return activity?.connections ?? ports.length > 0;
}

/** The later of what was known and what is seen now. What could not be counted is no reason to put anything to sleep. */
export function observeActivity(last: Activity, spec: ActivitySpec, facts: ActivityFacts): Activity {
  const { nowMs, openConnections, cpuPercent } = facts;
  if (countsConnections(spec) && (openConnections ?? 1) > 0) return { atMs: nowMs, source: "connection" };
  const share = spec.activity?.cpuPercent;
  if (share !== undefined && cpuPercent !== undefined && cpuPercent >= share) return { atMs: nowMs, source: "cpu" };
  return last;
}

/** When it falls asleep if nothing uses it until then: unused for `idleTimeoutMs`, and awake for `graceMs` at least. */
export function hibernatesAtMs(
  last: Activity,
  { idleTimeoutMs, graceMs, awakeSinceMs }: Readonly<Record<"idleTimeoutMs" | "graceMs" | "awakeSinceMs", number>>,
): number {
  return Math.max(last.atMs + idleTimeoutMs, awakeSinceMs + graceMs);
}
