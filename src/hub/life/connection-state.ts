import type { BoxConnection } from "../../contract/fleet/box-view.ts";

/** What is known of one box's contact. Times are of the hub's own monotonic clock: a box's clock decides nothing. */
export interface ContactFacts {
  /** When it was last heard; `undefined`: never. */
  readonly heardMs: number | undefined;
  /** Its event stream is open, as far as this hub or the box itself knows. */
  readonly isLinked: boolean;
  /** When that last became so. */
  readonly linkChangedMs: number;
}

export interface ConnectionState {
  readonly name: BoxConnection;
  readonly sinceMs: number;
  /** Since when it is heard in time and linked; `undefined` while it is not. */
  readonly goodSinceMs: number | undefined;
  /** How often it has stopped being online without having been so for long in between. */
  readonly falls: number;
}

export interface ConnectionLimits {
  /** Silence that is more than a late report. */
  readonly lateMs: number;
  /** Silence after which nobody is taken to be there. */
  readonly offlineMs: number;
  /** A box may change its connection for this long without anyone hearing of it. */
  readonly unlinkedMs: number;
  /** What was degraded must be good for this long: a box that comes and goes does not flicker. */
  readonly settleMs: number;
  /** Each further fall doubles that time, up to this. */
  readonly maxSettleMs: number;
  /** Online for this long: its falls are forgotten. */
  readonly calmMs: number;
}

/** For boxes that report every 15 s. */
export const CONNECTION_LIMITS: ConnectionLimits = {
  lateMs: 40_000,
  offlineMs: 60_000,
  unlinkedMs: 20_000,
  settleMs: 15_000,
  maxSettleMs: 300_000,
  calmMs: 600_000,
};

/**
 * Pure. Up at once for a box that was away, down only after its limits, and back from `degraded` after a while of good contact;
 * the longer, the more often it fell in short order: a box half of whose reports are lost is `degraded`, and not by turns.
 */
export function nextConnection(
  held: ConnectionState,
  facts: ContactFacts,
  now: { readonly nowMs: number; readonly limits: ConnectionLimits },
): ConnectionState {
  const { nowMs, limits } = now;
  const quietMs = facts.heardMs === undefined ? Number.POSITIVE_INFINITY : nowMs - facts.heardMs;
  const isGood = facts.isLinked && quietMs <= limits.lateMs;
  const goodSinceMs = isGood ? (held.goodSinceMs ?? nowMs) : undefined;
  const name = nameOf(held, { ...facts, quietMs, goodSinceMs }, now);
  if (name === held.name && goodSinceMs === held.goodSinceMs) return held;
  const hasFallen = held.name === "online" && name !== "online";
  const wasCalm = nowMs - held.sinceMs >= limits.calmMs;
  const falls = hasFallen ? (wasCalm ? 1 : held.falls + 1) : held.falls;
  return { name, sinceMs: name === held.name ? held.sinceMs : nowMs, goodSinceMs, falls };
}

function settleMsOf({ falls }: ConnectionState, { settleMs, maxSettleMs }: ConnectionLimits): number {
  return Math.min(maxSettleMs, settleMs * 2 ** Math.max(0, falls - 1));
}

function nameOf(
  held: ConnectionState,
  facts: ContactFacts & { readonly quietMs: number; readonly goodSinceMs: number | undefined },
  { nowMs, limits }: { readonly nowMs: number; readonly limits: ConnectionLimits },
): BoxConnection {
  if (facts.heardMs === undefined) return "never";
  if (facts.quietMs > limits.offlineMs) return "offline";
  if (facts.goodSinceMs !== undefined) {
    const isUnsettled = held.name === "degraded" || (held.name === "offline" && held.falls > 1);
    const mustSettle = isUnsettled && nowMs - facts.goodSinceMs < settleMsOf(held, limits);
    return mustSettle ? "degraded" : "online";
  }
  const isLinkMissed = !facts.isLinked && nowMs - facts.linkChangedMs > limits.unlinkedMs;
  const isMissed = facts.quietMs > limits.lateMs || isLinkMissed;
  return held.name === "online" && !isMissed ? "online" : "degraded";
}

/**
 * Pure. Where a box stands when a hub begins, from wall times that hubs wrote. A hub that was away cannot blame the boxes for the
 * silence: only one that was silent long before the last contact of *any* box is offline; the others get their time again.
 */
export function firstConnection(
  contact: { readonly lastContactMs: number; readonly newestMs: number },
  now: { readonly nowMs: number; readonly limits: ConnectionLimits },
): { readonly state: ConnectionState; readonly heardMs: number } {
  const { nowMs, limits } = now;
  const behindMs = contact.newestMs - contact.lastContactMs;
  const isOffline = behindMs > limits.offlineMs;
  return {
    state: { name: isOffline ? "offline" : "degraded", sinceMs: nowMs, goodSinceMs: undefined, falls: 0 },
    heardMs: isOffline ? nowMs - limits.offlineMs - 1 : nowMs,
  };
}
