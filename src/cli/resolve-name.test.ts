import fc from "fast-check";
import { expect, test } from "vitest";
import { listCandidates, type Named, resolveName } from "./resolve-name.ts";

const BOXES: readonly Named[] = [
  { id: "north-1", name: "North gate" },
  { id: "north-10", name: "Quarry" },
  { id: "south-1", name: "Lobby" },
  { id: "lobby", name: "Old lobby" },
  { id: "7f3a", name: "quarry" },
];

const idsOf = (given: string) => {
  const resolution = resolveName(given, BOXES);
  if (resolution.kind === "found") return resolution.item.id;
  return resolution.kind === "none" ? undefined : resolution.candidates.map(({ id }) => id);
};

test.each([
  ["north-1", "north-1"],
  ["lobby", "lobby"],
  ["LOBBY", ["lobby", "south-1"]],
  ["north gate", "north-1"],
  ["Quarry", ["7f3a", "north-10"]],
  ["north-", ["north-1", "north-10"]],
  ["south", "south-1"],
  ["old", "lobby"],
  ["7f", "7f3a"],
  ["gate", "north-1"],
  ["th-", ["north-1", "north-10", "south-1"]],
  ["west", undefined],
  ["", undefined],
])("%j means %j", (given, meant) => {
  expect(idsOf(given)).toEqual(meant);
});

test("an exact id is never ambiguous, whatever else there is", () => {
  const id = fc.stringMatching(/^[a-c]{1,4}$/);
  fc.assert(
    fc.property(fc.uniqueArray(id, { minLength: 1 }), fc.nat(), (ids, pick) => {
      const items = ids.map((one, index) => ({ id: one, name: ids[(index + 1) % ids.length] }));
      const wanted = ids[pick % ids.length] ?? "";
      expect(resolveName(wanted, items)).toMatchObject({ kind: "found", item: { id: wanted } });
    }),
  );
});

test("candidates are told with their names, and not without end", () => {
  expect(listCandidates(BOXES.slice(0, 2))).toBe("north-1 (North gate), north-10 (Quarry)");
  const many = Array.from({ length: 15 }, (_, index) => ({ id: `b${index}` }));
  expect(listCandidates(many)).toMatch(/b11 and 3 more$/);
});
