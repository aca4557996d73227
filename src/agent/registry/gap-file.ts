import { z } from "zod";
import { loadDocument } from "../../base/atomic-file.ts";
import type { DocumentFormat } from "../../base/document.ts";
import { createDocumentWriter, type DocumentStatus } from "../../base/document-writer.ts";
import { workloadIdSchema } from "../../contract/identifier.ts";
import { firstProblem } from "./first-problem.ts";
import type { RegistryDeps } from "./registry.ts";

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
export interface GapFile {
  readonly loaded: SavedGaps | undefined;
  readonly problems: readonly string[];
  changed(): void;
  /** Resolves when what changed is durable, or when the disk has been given up on for now. Never rejects. */
  commit(): Promise<void>;
  status(): DocumentStatus;
}

/** Loads what is there; never throws, whatever stands in the file. `snapshot` is asked for each writing. */
export function createGapFile(
  options: { readonly file: string },
  deps: RegistryDeps & { readonly snapshot: () => SavedGaps },
): GapFile {
  const found = loadDocument(options.file, GAP_FORMAT, deps);
  const { saved, problems } = parseGaps(found.data);
  for (const problem of problems) deps.log.warn(`Part of ${options.file} is ignored: ${problem}`);
  const writer = createDocumentWriter(
    { ...GAP_FORMAT, path: options.file, isCurrentGood: found.isCurrentGood },
    { ...deps, snapshot: deps.snapshot },
  );
  return {
    loaded: saved,
    problems: [...found.problems, ...problems],
    changed: writer.changed,
    commit: writer.commit,
    status: writer.status,
  };
}

function parseGaps(data: unknown): { readonly saved: SavedGaps | undefined; readonly problems: readonly string[] } {
  if (data === undefined) return { saved: undefined, problems: [] };
  const parsed = documentSchema.safeParse(data);
  if (!parsed.success) return { saved: undefined, problems: [firstProblem("data", parsed.error)] };
  const streams: SavedLedger[] = [];
  const problems: string[] = [];
  for (const [index, item] of parsed.data.streams.entries()) {
    const stream = savedLedgerSchema.safeParse(item);
    if (stream.success) streams.push(stream.data);
    else problems.push(firstProblem(`streams[${index}]`, stream.error));
  }
  return { saved: { ...parsed.data, streams }, problems };
}
