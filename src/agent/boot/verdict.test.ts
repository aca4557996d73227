import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BootFacts, decideVerdict } from "./verdict.ts";

const BOOT: BootFacts = {
  bootId: "4f7a0f6e-0000-4000-8000-000000000001",
  bootTimeMs: 1_768_000_000_000,
  uptimeSeconds: 5000,
  pidNamespace: "pid:[4026531836]",
};
const OTHER_ID = "4f7a0f6e-0000-4000-8000-000000000002";
const THRESHOLD_MS = 300_000;

const CASES: readonly [string, BootFacts | undefined, Partial<BootFacts>, string][] = [
  ["nothing saved is the first start", undefined, {}, "first"],
  ["the same boot is a restart", BOOT, { uptimeSeconds: 6000 }, "restart"],
  [
    "another boot id is a reboot, however long the machine has been up",
    BOOT,
    { bootId: OTHER_ID, uptimeSeconds: 90_000 },
    "reboot",
  ],
  [
    "a crash two minutes after the boot is a restart",
    { ...BOOT, uptimeSeconds: 100 },
    { uptimeSeconds: 120 },
    "restart",
  ],
  [
    "an uplink that comes fifteen minutes after a boot is still a reboot",
    BOOT,
    { bootId: OTHER_ID, uptimeSeconds: 900 },
    "reboot",
  ],
  ["a clock set by an hour is a restart", BOOT, { bootTimeMs: 1_768_003_600_000, uptimeSeconds: 6000 }, "restart"],
  ["a clock set from 1970 is a restart", { ...BOOT, bootTimeMs: 0 }, { uptimeSeconds: 6000 }, "restart"],
  ["a repeated boot id with less uptime is a reboot", BOOT, { uptimeSeconds: 20 }, "reboot"],
  ["a container started again is a reboot", BOOT, { pidNamespace: "pid:[4026532000]", uptimeSeconds: 6000 }, "reboot"],
  [
    "without ids, the same boot time is a restart",
    { ...BOOT, bootId: undefined, uptimeSeconds: 20 },
    { bootId: undefined, uptimeSeconds: 40, bootTimeMs: 1_768_000_002_000 },
    "restart",
  ],
  [
    "without ids, another boot time and a young boot is a reboot",
    { ...BOOT, bootId: undefined, uptimeSeconds: 20 },
    { bootId: undefined, uptimeSeconds: 40, bootTimeMs: 1_769_000_000_000 },
    "reboot",
  ],
  [
    "without ids, another boot time and an old boot is a restart",
    { ...BOOT, bootId: undefined, uptimeSeconds: 20 },
    { bootId: undefined, uptimeSeconds: 900, bootTimeMs: 1_769_000_000_000 },
    "restart",
  ],
  [
    "with nothing to go by, what runs is left alone",
    { ...BOOT, bootId: undefined },
    { bootId: undefined, bootTimeMs: undefined, uptimeSeconds: undefined },
    "restart",
  ],
];

describe("decideVerdict", () => {
  test.each(CASES)("%s", (_title, saved, today, verdict) => {
    expect(decideVerdict(saved, { ...BOOT, ...today }, THRESHOLD_MS).verdict).toBe(verdict);
  });

  test("neither uptime nor wall clock ever turns the same boot into a reboot", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), fc.nat(), fc.nat(), (savedTime, todayTime, uptime, later) => {
        const saved = { ...BOOT, bootTimeMs: savedTime, uptimeSeconds: uptime };
        const today = { ...BOOT, bootTimeMs: todayTime, uptimeSeconds: uptime + later };
        expect(decideVerdict(saved, today, THRESHOLD_MS).verdict).toBe("restart");
      }),
    );
  });

  test("another boot id is always a reboot", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.integer(), (savedUptime, todayUptime, time) => {
        const saved = { ...BOOT, uptimeSeconds: savedUptime };
        const today = { ...BOOT, bootId: OTHER_ID, uptimeSeconds: todayUptime, bootTimeMs: time };
        expect(decideVerdict(saved, today, THRESHOLD_MS).verdict).toBe("reboot");
      }),
    );
  });
});
