import { z } from "zod";
import type { DocumentFormat } from "../../base/document.ts";
import { firstProblem } from "./first-problem.ts";
import { parseEntries } from "./parse-entries.ts";
import { openStateDocument, type StateDocumentDeps, type Understood } from "./state-document.ts";

const FORMAT: DocumentFormat = { format: "sluice.moved-segments", version: 1, minReader: 1 };
const movedSchema = z.object({ path: z.string(), identity: z.string(), requestId: z.string() });
const countSchema = z.object({ stream: z.string(), moved: z.int().min(0) });
const documentSchema = z.object({ moved: z.array(z.unknown()), counts: z.array(z.unknown()).default([]) });
export type MovedSegment = z.output<typeof movedSchema>;

interface Loaded {
  readonly moved: readonly MovedSegment[];
  readonly counts: readonly z.output<typeof countSchema>[];
}
const NOTHING: Loaded = { moved: [], counts: [] };

/** Files that have arrived elsewhere and are still here. Its loss costs a question to the hub for each. */
export interface SegmentBook {
  find(path: string): MovedSegment | undefined;
  all(): readonly MovedSegment[];
  /** Of a stream. Resolves when it is on disk, or when the disk has been given up on for now. */
  add(stream: string, moved: MovedSegment): Promise<void>;
  /** How many of a stream have been added. */
  countOf(stream: string): number;
  /** Of streams that are not wanted any more nothing is counted. */
  keepCounts(streams: ReadonlySet<string>): void;
  forget(path: string): void;
  commit(): Promise<void>;
}

export function openSegmentBook(path: string, deps: StateDocumentDeps): SegmentBook {
  const held = new Map<string, MovedSegment>();
  const counts = new Map<string, number>();
  const document = openStateDocument(
    {
      path,
      format: FORMAT,
      parse: (data): Understood<Loaded> => {
        const parsed = documentSchema.safeParse(data ?? { moved: [] });
        if (!parsed.success) return { value: NOTHING, problems: [firstProblem("moved segments", parsed.error)] };
        const { parsed: moved, problems } = parseEntries("moved", parsed.data.moved, movedSchema);
        const counted = parseEntries("counts", parsed.data.counts, countSchema);
        return { value: { moved, counts: counted.parsed }, problems: [...problems, ...counted.problems] };
      },
      snapshot: () => ({
        moved: [...held.values()],
        counts: [...counts].map(([stream, moved]) => ({ stream, moved })),
      }),
    },
    deps,
  );
  for (const moved of document.loaded.moved) held.set(moved.path, moved);
  for (const { stream, moved } of document.loaded.counts) counts.set(stream, moved);
  return {
    find: (path) => held.get(path),
    all: () => [...held.values()],
    add: async (stream, moved) => {
      held.set(moved.path, moved);
      counts.set(stream, (counts.get(stream) ?? 0) + 1);
      document.changed();
      await document.commit();
    },
    countOf: (stream) => counts.get(stream) ?? 0,
    keepCounts: (streams) => {
      for (const stream of counts.keys()) if (!streams.has(stream) && counts.delete(stream)) document.changed();
    },
    forget: (path) => {
      if (held.delete(path)) document.changed();
    },
    commit: () => document.commit(),
  };
}
