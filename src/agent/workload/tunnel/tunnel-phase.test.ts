import { expect, test } from "vitest";
import { type TunnelFactsNow, tunnelPhase } from "./tunnel-phase.ts";

const FACTS: TunnelFactsNow = {
  isPrepared: true,
  unprepared: undefined,
  awaits: undefined,
  process: "none",
  absence: undefined,
  isProved: undefined,
  doubt: undefined,
};

test.each<[string, Partial<TunnelFactsNow>, ReturnType<typeof tunnelPhase>]>([
  [
    "preparing while a port is taken",
    { isPrepared: false, unprepared: "legs[0].listen is taken" },
    { phase: "preparing", reason: "legs[0].listen is taken" },
  ],
  [
    "preparing rather than waiting while both are missing",
    { isPrepared: false, unprepared: "no openssl", awaits: "its peer" },
    { phase: "preparing", reason: "no openssl" },
  ],
  ["prepared while it waits for its peer", { awaits: "its peer" }, { phase: "prepared", reason: "its peer" }],
  ["linked once nothing is missing", {}, { phase: "linked", reason: "it is being started" }],
  [
    "linked until it is proved for the first time",
    { process: "running", doubt: "connection refused" },
    { phase: "linked", reason: "connection refused" },
  ],
  ["up once it is proved", { process: "running", isProved: true }, { phase: "up" }],
  [
    "degraded when a proof failed",
    { process: "running", isProved: false, doubt: "not refused: plain-text" },
    { phase: "degraded", reason: "not refused: plain-text" },
  ],
  ["down when its process is gone", { process: "gone", absence: "exit 1" }, { phase: "down", reason: "exit 1" }],
])("an end is %s", (_title, facts, expected) => {
  expect(tunnelPhase({ ...FACTS, ...facts })).toEqual(expected);
});
