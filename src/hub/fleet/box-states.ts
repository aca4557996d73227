import type { BoxConnection } from "../../contract/fleet/box-view.ts";
import type { BoxReport } from "../store/box-report.ts";

/** Whether boxes are there. */
export interface BoxStates {
  connectionOf(facts: BoxFacts, nowMs: number): BoxConnection;
}

export interface BoxFacts {
  readonly boxId: string;
  readonly lastContactMs: number | undefined;
  readonly report: BoxReport | undefined;
}

/** Boxes report every 15 s: one that missed two is late, one that missed four is gone. */
const LATE_MS = 35_000;
const GONE_MS = 65_000;

/** Judges by the time since a box was last heard alone. */
export function createBoxStates(): BoxStates {
  return {
    connectionOf: ({ lastContactMs }, nowMs) => {
      if (lastContactMs === undefined) return "never";
      const ageMs = nowMs - lastContactMs;
      if (ageMs >= GONE_MS) return "offline";
      return ageMs >= LATE_MS ? "degraded" : "online";
    },
  };
}
