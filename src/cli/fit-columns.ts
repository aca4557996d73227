export interface ColumnNeed {
  /** Characters of its longest cell or head. */
  readonly natural: number;
  /** What it may be cut down to. */
  readonly least: number;
  /** Of columns that find no room together the lowest goes first. */
  readonly rank: number;
}

export const COLUMN_GAP = 2;

/** The width of each column in a line of `available` characters; 0 for those that are left out. */
export function fitColumns(needs: readonly ColumnNeed[], available: number): number[] {
  const shown = new Set(needs.keys());
  const sumOf = (widthOf: (need: ColumnNeed) => number) =>
    needs.reduce((sum, need, index) => sum + (shown.has(index) ? widthOf(need) + COLUMN_GAP : 0), -COLUMN_GAP);
  while (shown.size > 1 && sumOf(({ natural, least }) => Math.min(natural, least)) > available) {
    const lowest = Math.min(...[...shown].map((index) => needs[index]?.rank ?? 0));
    // Of equal ones the last: what stands first says most.
    shown.delete([...shown].filter((index) => needs[index]?.rank === lowest).at(-1) ?? 0);
  }
  const widths = needs.map(({ natural }, index) => (shown.has(index) ? natural : 0));
  for (let over = sumOf(({ natural }) => natural) - available; over > 0; over--) {
    const widest = widestThatYields(needs, widths);
    if (widest === undefined) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function widestThatYields(needs: readonly ColumnNeed[], widths: readonly number[]): number | undefined {
  let widest: number | undefined;
  for (const [index, width] of widths.entries()) {
    if (width <= (needs[index]?.least ?? 0)) continue;
    if (widest === undefined || width > (widths[widest] ?? 0)) widest = index;
  }
  return widest;
}
