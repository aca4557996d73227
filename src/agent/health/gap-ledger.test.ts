import { describe, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import type { SavedGaps } from "../registry/gap-file.ts";
import { createGapLedger, type Sighting } from "./gap-ledger.ts";
import { enterSighting, KEPT_CAUSES, KEPT_GAPS, openLedger, totalsOf } from "./stream-ledger.ts";

const FLOWING: Sighting = { media: "flowing", cause: "" };
const DOWN: Sighting = { media: "down", cause: "network" };

function createBox() {
  const clock = createFakeClock();
  let bootId = "boot-1";
  let bootMs = -600_000;
  let saved: SavedGaps | undefined;
  let writes = 0;
  let lastWriteWallMs: number | undefined;
  const told: string[] = [];
  const start = () =>
    createGapLedger({
      clock,
      bootId,
      uptimeMs: () => clock.monotonicMs() - bootMs,
      openFile: (snapshot) => ({
        loaded: saved === undefined ? undefined : (JSON.parse(JSON.stringify(saved)) as SavedGaps),
        problems: [],
        changed: () => {
          writes++;
          saved = snapshot();
        },
        commit: async () => undefined,
        status: () => ({ durable: true }),
      }),
      lastWriteWallMs: () => lastWriteWallMs,
      onOccurrence: ({ text }) => void told.push(text),
    });
  let ledger = start();
  return {
    clock,
    told,
    writes: () => writes,
    proof: () => ledger.of("a", KEPT_GAPS),
    enter: (sighting: Sighting) => ledger.enter(new Map([["a", sighting]])),
    remove: () => ledger.enter(new Map()),
    run: async (sighting: Sighting, seconds: number) => {
      for (let second = 0; second < seconds; second++) {
        ledger.enter(new Map([["a", sighting]]));
        await clock.advance(1000);
      }
    },
    restart: (lastWrite?: number) => {
      lastWriteWallMs = lastWrite;
      ledger = start();
    },
    reboot: () => {
      bootId = "boot-2";
      bootMs = clock.monotonicMs();
      lastWriteWallMs = undefined;
      ledger = start();
    },
  };
}

describe("the gap ledger", () => {
  test("counts every second from the first start, and writes only when a gap opens or closes", async () => {
    const box = createBox();
    await box.run(DOWN, 2);
    await box.run(FLOWING, 98);
    expect(box.writes()).toBe(2);
    expect(box.proof()).toMatchObject({ expectedSeconds: 100, provenSeconds: 98, percent: 98, gapCount: 1 });
    await box.run(DOWN, 10);
    await box.run(FLOWING, 10);
    expect(box.writes()).toBe(4);
    expect(box.proof()?.gaps.at(-1)).toEqual({
      start: "2026-01-15T10:32:24.000Z",
      end: "2026-01-15T10:32:35.000Z",
      seconds: 11,
      cause: "network",
    });
    expect(box.told.at(-1)).toContain("(11 s): network");
  });

  test("takes counters that pause for a moment for no gap, and a diagnosis for the cause of one", async () => {
    const box = createBox();
    await box.run(FLOWING, 10);
    await box.run({ media: "silent", cause: "silent" }, 2);
    await box.run(FLOWING, 2);
    expect(box.proof()?.gapCount).toBe(1);
    await box.run({ media: "silent", cause: "silent" }, 5);
    await box.run({ media: "silent", cause: "source-stalled" }, 2);
    await box.run(FLOWING, 1);
    expect(box.proof()?.gaps.at(-1)).toMatchObject({ cause: "source-stalled", seconds: 8 });
  });

  test("dates a silence that was hidden by full counters from its beginning", async () => {
    const box = createBox();
    await box.run(FLOWING, 20);
    await box.run({ media: "silent", cause: "peer-stalled", silentMs: 6000 }, 1);
    expect(box.proof()?.gaps.at(-1)?.seconds).toBe(7);
  });

  test("goes on over a restart of the agent without a gap when media never stopped", async () => {
    const box = createBox();
    await box.run(FLOWING, 100);
    await box.clock.advance(3_600_000);
    box.restart(box.clock.wallMs());
    box.enter({ media: "unknown", cause: "" });
    await box.clock.advance(1000);
    await box.run(FLOWING, 10);
    expect(box.proof()).toMatchObject({ gapCount: 1, expectedSeconds: 3711, provenSeconds: 3711 });
  });

  test("dates a death without an agent from the last counters that were written", async () => {
    const box = createBox();
    await box.run(FLOWING, 100);
    const lastWrite = box.clock.wallMs() + 60_000;
    await box.clock.advance(120_000);
    box.restart(lastWrite);
    await box.run(DOWN, 1);
    await box.run(FLOWING, 1);
    expect(box.proof()?.gaps.at(-1)).toMatchObject({ start: new Date(lastWrite).toISOString(), seconds: 61 });
  });

  test("survives a reboot and counts it as a gap", async () => {
    const box = createBox();
    await box.run(DOWN, 1);
    await box.run(FLOWING, 1);
    await box.clock.advance(60_000);
    box.reboot();
    await box.run({ media: "down", cause: "starting" }, 2);
    await box.run(FLOWING, 1);
    expect(box.proof()).toMatchObject({ gapCount: 2, expectedSeconds: 65 });
  });

  test("keeps count and length of its gaps by cause, over a restart too", async () => {
    const box = createBox();
    await box.run(DOWN, 3);
    await box.run(FLOWING, 10);
    await box.run(DOWN, 5);
    await box.run(FLOWING, 10);
    await box.run(DOWN, 5);
    expect(box.proof()?.byCause).toEqual({
      starting: { count: 1, seconds: 3 },
      network: { count: 1, seconds: 6 },
    });
    box.restart(box.clock.wallMs());
    await box.run(FLOWING, 1);
    expect(box.proof()?.byCause).toEqual({
      starting: { count: 1, seconds: 3 },
      network: { count: 2, seconds: 12 },
    });
  });

  test("is not moved by steps of the wall clock", async () => {
    const box = createBox();
    await box.run(FLOWING, 10);
    box.clock.stepWall(3_600_000);
    await box.run(FLOWING, 10);
    box.clock.stepWall(-7_200_000);
    await box.run(FLOWING, 10);
    expect(box.proof()).toMatchObject({ gapCount: 1, expectedSeconds: 30 });
  });

  test("forgets a stream that the server has removed", async () => {
    const box = createBox();
    await box.run(FLOWING, 10);
    box.remove();
    expect(box.proof()).toBeUndefined();
    await box.run(FLOWING, 5);
    expect(box.proof()).toMatchObject({ expectedSeconds: 5 });
  });
});

test("a ledger tells eight causes apart, and counts what is beyond them as one more", () => {
  let ledger = openLedger({ nowMs: 0, wallMs: 0 });
  for (let second = 1; second <= 200; second++) {
    const media = second % 2 === 0 ? ("flowing" as const) : ("down" as const);
    const sighting = { nowMs: second * 1000, wallMs: second * 1000, media, cause: `cause-${second % 31}` };
    ledger = enterSighting(ledger, sighting).ledger;
  }
  expect(ledger.causes).toHaveLength(KEPT_CAUSES + 1);
  expect(ledger.causes.reduce((sum, { count }) => sum + count, 0)).toBe(ledger.gapCount);
  expect(ledger.causes.reduce((sum, { ms }) => sum + ms, 0)).toBe(ledger.gapMs);
});

test("a ledger keeps the last hundred gaps, and the total of all", () => {
  let ledger = openLedger({ nowMs: 0, wallMs: 0 });
  for (let second = 1; second <= 400; second++) {
    const media = second % 2 === 0 ? ("flowing" as const) : ("down" as const);
    ledger = enterSighting(ledger, { nowMs: second * 1000, wallMs: second * 1000, media, cause: "x" }).ledger;
  }
  expect(ledger.gaps).toHaveLength(KEPT_GAPS);
  expect(ledger.gapCount).toBe(200);
  expect(totalsOf(ledger, 400_000)).toMatchObject({ expectedMs: 400_000, provenMs: 0 });
});
