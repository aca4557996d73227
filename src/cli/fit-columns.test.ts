import fc from "fast-check";
import { expect, test } from "vitest";
import { COLUMN_GAP, fitColumns } from "./fit-columns.ts";

const need = (natural: number, least = natural, rank = 1) => ({ natural, least, rank });
const lengthOf = (widths: readonly number[]) => {
  const shown = widths.filter((width) => width > 0);
  return shown.reduce((sum, width) => sum + width, 0) + COLUMN_GAP * (shown.length - 1);
};

test("what fits is left as it is", () => {
  expect(fitColumns([need(5), need(10)], 17)).toEqual([5, 10]);
});

test("the widest column yields first, down to its least", () => {
  expect(fitColumns([need(10, 4), need(30, 10)], 32)).toEqual([10, 20]);
  expect(fitColumns([need(10, 4), need(30, 10)], 20)).toEqual([8, 10]);
});

test("columns that find no room go by rank, the last of equals first", () => {
  expect(fitColumns([need(10, 10, 9), need(10, 10, 1), need(10, 10, 2)], 22)).toEqual([10, 0, 10]);
  expect(fitColumns([need(10), need(10), need(10)], 22)).toEqual([10, 10, 0]);
});

test("a table fits wherever its first rank does, and never loses all columns", () => {
  const column = fc.record({
    natural: fc.integer({ min: 1, max: 60 }),
    least: fc.integer({ min: 1, max: 12 }),
    rank: fc.nat(4),
  });
  fc.assert(
    fc.property(
      fc.array(column, { minLength: 1, maxLength: 10 }),
      fc.integer({ min: 12, max: 200 }),
      (needs, width) => {
        const widths = fitColumns(needs, width);
        expect(widths.some((each) => each > 0)).toBe(true);
        expect(lengthOf(widths)).toBeLessThanOrEqual(width);
        for (const [index, each] of widths.entries()) expect(each).toBeLessThanOrEqual(needs[index]?.natural ?? 0);
      },
    ),
  );
});
