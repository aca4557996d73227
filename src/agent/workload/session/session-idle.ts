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
  /** Whether datagrams came to it since the last look; undefined where nobody could see. */
  readonly hasDatagrams: boolean | undefined;
  /** Of one core, over the last seconds; undefined until two readings. */
  readonly cpuPercent: number | undefined;
}

type ActivitySpec = Pick<SessionRunSpec, "activity" | "template">;

export function countsConnections({ activity, template: { ports = [] } }: ActivitySpec): boolean {
  return activity?.connections ?? ports.length > 0;
}

/** The later of what was known and what is seen now. What could not be counted is no reason to put anything to sleep. */
export function observeActivity(last: Activity, spec: ActivitySpec, facts: ActivityFacts): Activity {
  const { nowMs, openConnections, hasDatagrams, cpuPercent } = facts;
  if (countsConnections(spec)) {
    if (openConnections !== undefined && openConnections > 0) return { atMs: nowMs, source: "connection" };
    const [tcp, udp] = (["tcp", "udp"] as const).map((protocol) => declares(spec, protocol));
    if (udp === true && hasDatagrams === true) return { atMs: nowMs, source: "datagram" };
    const isBlind = openConnections === undefined && (tcp === true || hasDatagrams === undefined);
    if (isBlind) return { atMs: nowMs, source: "connection" };
  }
  const share = spec.activity?.cpuPercent;
  if (share !== undefined && cpuPercent !== undefined && cpuPercent >= share) return { atMs: nowMs, source: "cpu" };
  return last;
}

function declares({ template: { ports = [] } }: ActivitySpec, wanted: "tcp" | "udp"): boolean {
  return ports.some(({ protocol = "tcp" }) => protocol === wanted);
}

/** Use by wall time, as it is kept for the next agent. */
export interface KeptUse {
  readonly atMs: number;
  readonly source: ActivitySource;
}

/** Use is written down so late, and so seldom, that nobody's disk is worn by it. */
function writePeriodMs(idleTimeoutMs: number): number {
  return Math.max(10_000, idleTimeoutMs / 10);
}

/** Whether use that ended at `use` is worth a write, after what was written last. */
export function mustKeepUse(use: KeptUse, kept: KeptUse | undefined, idleTimeoutMs: number): boolean {
  return kept === undefined || Math.abs(use.atMs - kept.atMs) >= writePeriodMs(idleTimeoutMs);
}

/** Since when a session is unused that an agent finds running: never earlier than it was, so never too early to sleep. */
export function recallUse(
  kept: KeptUse,
  { idleTimeoutMs, nowMs, nowWallMs }: Readonly<Record<"idleTimeoutMs" | "nowMs" | "nowWallMs", number>>,
): Activity {
  const agoMs = nowWallMs - kept.atMs - writePeriodMs(idleTimeoutMs);
  return { atMs: nowMs - Math.max(0, agoMs), source: kept.source };
}

/** When it falls asleep if nothing uses it until then: unused for `idleTimeoutMs`, and awake for `graceMs` at least. */
export function hibernatesAtMs(
  last: Activity,
  { idleTimeoutMs, graceMs, awakeSinceMs }: Readonly<Record<"idleTimeoutMs" | "graceMs" | "awakeSinceMs", number>>,
): number {
  return Math.max(last.atMs + idleTimeoutMs, awakeSinceMs + graceMs);
}
