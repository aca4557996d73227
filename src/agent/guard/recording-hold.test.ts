import { expect, test } from "vitest";
import { excessBytes, holdOfRoot, planDeletions, type RecordedFile } from "./recording-hold.ts";

const MIB = 2 ** 20;
const LIMITS = { diskFreeBytes: 100 * MIB, recordingsBytes: 1000 * MIB };
const use = (freeMib: number | undefined, recordedMib: number | undefined) => ({
  root: "/srv/rec",
  freeBytes: freeMib === undefined ? undefined : freeMib * MIB,
  recordedBytes: recordedMib === undefined ? undefined : recordedMib * MIB,
});

test.each([
  { title: "room for more", free: 500, recorded: 500, isHeld: false, reason: undefined },
  {
    title: "below the floor",
    free: 99,
    recorded: 0,
    isHeld: false,
    reason: "/srv/rec has 99 MiB free, and the floor is 100 MiB",
  },
  {
    title: "paused, a little above the floor is not enough",
    free: 119,
    recorded: 0,
    isHeld: true,
    reason: "/srv/rec has 119 MiB free, and the floor is 100 MiB",
  },
  { title: "paused, a fifth above the floor is", free: 120, recorded: 0, isHeld: true, reason: undefined },
  {
    title: "over the budget",
    free: 500,
    recorded: 1001,
    isHeld: false,
    reason: "recordings below /srv/rec take 1001 MiB, and their budget is 1000 MiB",
  },
  { title: "paused, a twentieth below the budget", free: 500, recorded: 950, isHeld: true, reason: undefined },
  { title: "a disk that tells nothing", free: undefined, recorded: undefined, isHeld: true, reason: undefined },
])("$title: $reason", ({ free, recorded, isHeld, reason }) => {
  expect(holdOfRoot(use(free, recorded), isHeld, LIMITS)).toBe(reason);
});

test("switched off, an empty disk pauses nothing", () => {
  expect(holdOfRoot(use(0, 9999), false, { diskFreeBytes: 0, recordingsBytes: undefined })).toBeUndefined();
});

test("what must go brings both budgets back with room to spare", () => {
  expect(excessBytes(use(500, 1000), LIMITS)).toBe(0);
  expect(excessBytes(use(20, 500), LIMITS)).toBe(100 * MIB);
  expect(excessBytes(use(500, 1050), LIMITS)).toBe(100 * MIB);
});

test("the oldest finished files go, and never the one that may still grow", () => {
  const file = (name: string, modifiedMs: number, extra: Partial<RecordedFile> = {}): RecordedFile => ({
    path: name,
    modifiedMs,
    sizeBytes: 10,
    isOpen: false,
    ...extra,
  });
  const files = [file("new", 9), file("old", 1), file("open", 0, { isOpen: true }), file("older", 0.5)];
  expect(planDeletions(files, 15).map(({ path }) => path)).toEqual(["older", "old"]);
  expect(planDeletions(files, 1000).map(({ path }) => path)).toEqual(["older", "old", "new"]);
  expect(planDeletions(files, 0)).toEqual([]);
});
