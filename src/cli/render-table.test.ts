import { expect, test } from "vitest";
import { createPaint } from "./paint.ts";
import { type Column, renderTable } from "./render-table.ts";

interface Row {
  readonly id: string;
  readonly figure: number | undefined;
  readonly text: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { head: "ID", text: ({ id }) => id, rank: 9 },
  { head: "FIGURE", text: ({ figure }) => figure, align: "right", rank: 1 },
  { head: "TEXT", text: ({ text }) => text, tone: () => "bad", rank: 5, least: 8 },
];
const ROWS: readonly Row[] = [
  { id: "north-1", figure: 7, text: "a rather long sentence about it" },
  { id: "s", figure: undefined, text: "short" },
];
const paint = createPaint(false);

test("without a terminal everything is shown", () => {
  expect(renderTable(ROWS, COLUMNS, { paint, columns: undefined })).toMatchInlineSnapshot(`
    "ID       FIGURE  TEXT
    north-1       7  a rather long sentence about it
    s                short
    "
  `);
});

test("a terminal that is too narrow cuts what may be cut, then leaves out what says least", () => {
  const at = (columns: number) => renderTable(ROWS, COLUMNS, { paint, columns });
  expect(at(30)).toMatchInlineSnapshot(`
    "ID       FIGURE  TEXT
    north-1       7  a rather lon…
    s                short
    "
  `);
  expect(at(20)).toMatchInlineSnapshot(`
    "ID       TEXT
    north-1  a rather l…
    s        short
    "
  `);
  for (const width of [17, 20, 30, 40, 80]) {
    for (const line of at(width).split("\n")) expect(line.length).toBeLessThanOrEqual(width);
  }
});

test("a cell is one line, and what it holds cannot drive the terminal", () => {
  const text = renderTable([{ id: "a\nb", figure: 1, text: "\u001b[2Jgone" }], COLUMNS, { paint, columns: undefined });
  expect(text.split("\n")).toHaveLength(3);
  expect(text).toContain("\\x1b[2Jgone");
});
