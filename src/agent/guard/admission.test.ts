import { expect, test } from "vitest";
import { admitStarts, hasRoom, type StartRequest } from "./admission.ts";

const request = (id: string, extra: Partial<StartRequest> = {}): StartRequest => ({
  id,
  isNew: true,
  priority: 50,
  costCores: 0.5,
  ...extra,
});
const facts = { nowMs: 0, limitPercent: 80, cpuPercent: 20, cores: 2 };

test("the more important start first, restarts before all, and equals by name", () => {
  const { admitted } = admitStarts(
    [],
    [request("c"), request("b"), request("low", { priority: 1 }), request("high", { priority: 90 })].concat(
      request("again", { isNew: false, priority: 0 }),
    ),
    { ...facts, limitPercent: 0 },
  );
  expect(admitted).toEqual(["again", "high", "b", "c", "low"]);
});

test("above the limit new streams wait with the reason, and restarts go on", () => {
  const { admitted, held } = admitStarts([], [request("new"), request("again", { isNew: false })], {
    ...facts,
    cpuPercent: 97,
  });
  expect(admitted).toEqual(["again"]);
  expect([...held]).toEqual([["new", "no room on the processors: 97 % are in use, and new streams start below 80 %"]]);
});

test("who was let in counts with what it will use until the measurement shows it", () => {
  const first = admitStarts(
    [],
    ["a", "b", "c", "d"].map((id) => request(id)),
    facts,
  );
  // 0.4 of 1.6 cores are in use: 0.9, 1.4, 1.9.
  expect(first.admitted).toEqual(["a", "b", "c"]);
  expect(first.held.get("d")).toBe(
    "no room on the processors: others have just started, and new streams start below 80 %",
  );
  const soon = admitStarts(first.reservations, [request("d")], { ...facts, nowMs: 5000 });
  expect(soon.admitted).toEqual([]);
  const later = admitStarts(first.reservations, [request("d")], { ...facts, nowMs: 10_000, cpuPercent: 60 });
  expect(later.admitted).toEqual(["d"]);
});

test("while nobody knows the load it holds nobody back but by what was let in", () => {
  const unknown = { ...facts, cpuPercent: undefined };
  expect(admitStarts([], [request("a")], unknown).admitted).toEqual(["a"]);
  expect(hasRoom([], unknown)).toBe(true);
  expect(hasRoom([{ atMs: 0, cores: 1.6 }], unknown)).toBe(false);
});

test("switched off, everything is let in and nothing is remembered", () => {
  const off = admitStarts(
    [],
    ["a", "b"].map((id) => request(id)),
    { ...facts, limitPercent: 0, cpuPercent: 100 },
  );
  expect(off).toEqual({ admitted: ["a", "b"], held: new Map(), reservations: [] });
});
