import type { Unit } from "../reconcile/unit.ts";
import type { Sighting } from "./gap-ledger.ts";
import { stuckSocket } from "./socket-health.ts";

/** Two readings of an adopted process's counters come within this time, if it makes any. */
const ADOPTED_WAIT_MS = 3000;

const FLOWING: Sighting = { media: "flowing", cause: "" };

/** Of what is not to do anything at the moment. */
export const NOTHING_MISSED: Sighting = FLOWING;

/** Of a workload: while it is updated, either of its processes may prove its media. */
export function sightingOfWorkload(unit: Unit | undefined, incident: string | undefined): Sighting {
  const own = sightingOf(unit, incident);
  if (unit === undefined || own.media === "flowing") return own;
  const others = [unit.successor, unit.predecessor].filter((other) => other !== undefined);
  const flowing = others.map((other) => sightingOf(other, incident)).find(({ media }) => media === "flowing");
  return flowing ?? own;
}

/** What one look at a unit says about its media. `incident` names what hits the whole box at the moment. */
export function sightingOf(unit: Unit | undefined, incident: string | undefined): Sighting {
  const finding = unit?.finding?.cause;
  const cause = incident ?? finding ?? (unit?.stopReason === "changed" ? "changed" : unit?.lastExit?.class);
  if (unit?.handle === undefined || unit.phase !== "running") return { media: "down", cause: cause ?? "starting" };
  const { health, handle } = unit;
  // The first reading of an adopted process tells what it made once, not that it still does. Work without counters is
  // proved outright.
  const isWorkProved = health.hasMoved && health.window.length === 0;
  if (handle.isAdopted && !isWorkProved && health.window.length < 2 && health.idleMs < ADOPTED_WAIT_MS) {
    return { media: "unknown", cause: "" };
  }
  if (!health.hasMoved) return { media: "down", cause: cause ?? "starting" };
  if (unit.finding?.needsRestart === true) {
    const unanswered = stuckSocket(unit.sockets, "unansweredMs")?.unansweredMs ?? 0;
    const shut = stuckSocket(unit.sockets, "windowShutMs")?.windowShutMs ?? 0;
    return { media: "silent", cause: cause ?? "silent", silentMs: Math.max(health.idleMs, unanswered, shut) };
  }
  if (health.idleMs === 0) return FLOWING;
  return { media: "silent", cause: incident ?? finding ?? "silent", silentMs: health.idleMs };
}
