import Table from "cli-table3";
import { oneLine } from "../base/log.ts";
import { COLUMN_GAP, fitColumns } from "./fit-columns.ts";
import type { Paint, Tone } from "./paint.ts";
import { PLAIN_BORDERS } from "./plain-borders.ts";

export interface Column<Row> {
  readonly head: string;
  readonly text: (row: Row) => string | number | undefined;
  readonly tone?: (row: Row) => Tone | undefined;
  readonly align?: "right";
  /** Where there is no room for all, the lowest goes first. The first column is the last to go. */
  readonly rank: number;
  /** Characters below which it is not cut; its whole width when left out. */
  readonly least?: number;
}

export interface TableOptions {
  readonly paint: Paint;
  /** Of the terminal; without one nothing is cut or left out. */
  readonly columns: number | undefined;
}

/** Rows under heads, as wide as the terminal allows. Cells are one line; what comes from outside cannot drive the terminal. */
export function renderTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  { paint, columns: available }: TableOptions,
): string {
  const cells = rows.map((row) => columns.map(({ text }) => oneLine(String(text(row) ?? ""))));
  const needs = columns.map(({ head, least, rank }, index) => {
    const natural = Math.max(head.length, ...cells.map((line) => line[index]?.length ?? 0));
    return { natural, least: Math.min(natural, least ?? natural), rank };
  });
  const widths = fitColumns(needs, available ?? Number.POSITIVE_INFINITY);
  const shown = widths.flatMap((width, index) => (width > 0 ? [index] : []));
  const table = new Table({
    head: shown.map((index) => columns[index]?.head ?? ""),
    chars: PLAIN_BORDERS,
    style: { head: [], border: [], "padding-left": 0, "padding-right": COLUMN_GAP },
    colAligns: shown.map((index) => columns[index]?.align ?? "left"),
    colWidths: shown.map((index) => (widths[index] ?? 0) + COLUMN_GAP),
  });
  for (const [at, row] of rows.entries()) {
    table.push(
      shown.map((index) => {
        const tone = columns[index]?.tone?.(row);
        const text = cells[at]?.[index] ?? "";
        return tone === undefined || text === "" ? text : paint(tone, text);
      }),
    );
  }
  const lines = table.toString().split("\n");
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}
