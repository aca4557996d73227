import { z } from "zod";
import { sha256Schema } from "./worker-heartbeat.ts";

/** In what the same path may differ on both sides, or which side alone has it. */
export const DIFFERENCES = [
  "only-in-source",
  "only-in-destination",
  "kind",
  "content",
  "target",
  "hardlink",
  "mode",
  "times",
  "owner",
  "xattrs",
] as const;
export type Difference = (typeof DIFFERENCES)[number];

/** Differences that are kept, and how much text they may have; counts are of all. */
export const MAX_KEPT_DIFFERENCES = 500;
export const MAX_DIFFERENCE_CHARACTERS = 64 * 1024;

export const treeDifferenceSchema = z.object({
  path: z.string().describe("Below the two places, as path text."),
  differs: z.array(z.enum(DIFFERENCES)).min(1),
  message: z.string(),
});
export type TreeDifference = z.output<typeof treeDifferenceSchema>;

/** What came of a comparison. Directories count like files. */
export const treeComparisonSchema = z.object({
  equal: z.int(),
  only_in_source: z.int(),
  only_in_destination: z.int(),
  differing: z.int(),
  differences: z
    .array(treeDifferenceSchema)
    .optional()
    .describe(
      `The first of them; only in GET /sync/{id}. Of a directory that one side alone has, what is in it is counted and not named.`,
    ),
  source_root_hash: sha256Schema.describe("As the root_hash of a copy of it."),
  destination_root_hash: sha256Schema,
});
export type TreeComparison = z.output<typeof treeComparisonSchema>;

/** Pure. `equal: 12 entries`, or what is not. */
export function comparisonText({ equal, differing, only_in_source, only_in_destination }: TreeComparison): string {
  const parts = [
    [differing, "differ"],
    [only_in_source, "only in the source"],
    [only_in_destination, "only in the destination"],
  ] as const;
  const told = parts.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]));
  const same = `${equal} ${equal === 1 ? "entry is" : "entries are"} equal`;
  return told.length === 0 ? `no difference: ${same}` : `${told.join(", ")}; ${same}`;
}

export function isEqual({ differing, only_in_source, only_in_destination }: TreeComparison): boolean {
  return differing + only_in_source + only_in_destination === 0;
}
