import { z } from "zod";
import type { DocumentFormat } from "../../base/document.ts";
import { workloadIdSchema } from "../../contract/identifier.ts";
import { firstProblem } from "./first-problem.ts";
import { parseEntries } from "./parse-entries.ts";
import { openStateDocument, type StateDocument, type StateDocumentDeps, type Understood } from "./state-document.ts";

export const GAP_FORMAT: DocumentFormat = { format: "sluice.gaps", version: 1, minReader: 1 };

const gapSchema = z.object({
  startWallMs: z.number(),
  endWallMs: z.number(),
  durationMs: z.number().nonnegative(),
  cause: z.string().max(200),
});

const savedLedgerSchema = z.object({
  id: workloadIdSchema,
  firstStartWallMs: z.number(),
  /** Between the first start and the writing. */
  expectedMs: z.number().nonnegative(),
  gapCount: z.int().nonnegative(),
  gapMs: z.number().nonnegative(),
  gaps: z.array(gapSchema).max(1000),
  causes: z
    .array(z.object({ cause: z.string().max(200), count: z.int().nonnegative(), ms: z.number().nonnegative() }))
    .max(100)
    .default([]),
  /** Age at the writing. */
  open: z.object({ ageMs: z.number().nonnegative(), startWallMs: z.number(), cause: z.string().max(200) }).optional(),
});
export type SavedLedger = z.output<typeof savedLedgerSchema>;

const documentSchema = z.object({
  /** When it was written: by the boot's own clock where the boot is the same, else by the wall's. */
  bootId: z.string(),
  uptimeMs: z.number(),
  wallMs: z.number(),
  streams: z.array(z.unknown()),
});

export interface SavedGaps {
  readonly bootId: string;
  readonly uptimeMs: number;
  readonly wallMs: number;
  readonly streams: readonly SavedLedger[];
}

/** `gaps.json`. */
export interface GapFile extends StateDocument {
  readonly loaded: SavedGaps | undefined;
}

/** Loads what is there; never throws, whatever stands in the file. `snapshot` is asked for each writing. */
export function createGapFile(
  options: { readonly file: string },
  { snapshot, ...deps }: StateDocumentDeps & { readonly snapshot: () => SavedGaps },
): GapFile {
  return openStateDocument({ path: options.file, format: GAP_FORMAT, parse: parseGaps, snapshot }, deps);
}

function parseGaps(data: unknown): Understood<SavedGaps | undefined> {
  if (data === undefined) return { value: undefined, problems: [] };
  const document = documentSchema.safeParse(data);
  if (!document.success) return { value: undefined, problems: [firstProblem("data", document.error)] };
  const { parsed: streams, problems } = parseEntries("streams", document.data.streams, savedLedgerSchema);
  return { value: { ...document.data, streams }, problems };
}
