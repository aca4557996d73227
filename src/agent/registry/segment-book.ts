import { z } from "zod";
import type { DocumentFormat } from "../../base/document.ts";
import { firstProblem } from "./first-problem.ts";
import { parseEntries } from "./parse-entries.ts";
import { openStateDocument, type StateDocumentDeps, type Understood } from "./state-document.ts";

const FORMAT: DocumentFormat = { format: "sluice.moved-segments", version: 1, minReader: 1 };
const movedSchema = z.object({ path: z.string(), identity: z.string(), requestId: z.string() });
const documentSchema = z.object({ moved: z.array(z.unknown()) });
export type MovedSegment = z.output<typeof movedSchema>;

/** Files that have arrived elsewhere and are still here. Its loss costs a question to the hub for each. */
export interface SegmentBook {
  find(path: string): MovedSegment | undefined;
  all(): readonly MovedSegment[];
  /** Resolves when it is on disk, or when the disk has been given up on for now. */
  add(moved: MovedSegment): Promise<void>;
  forget(path: string): void;
  commit(): Promise<void>;
}

export function openSegmentBook(path: string, deps: StateDocumentDeps): SegmentBook {
  const held = new Map<string, MovedSegment>();
  const document = openStateDocument(
    {
      path,
      format: FORMAT,
      parse: (data): Understood<readonly MovedSegment[]> => {
        const parsed = documentSchema.safeParse(data ?? { moved: [] });
        if (!parsed.success) return { value: [], problems: [firstProblem("moved segments", parsed.error)] };
        const { parsed: value, problems } = parseEntries("moved", parsed.data.moved, movedSchema);
        return { value, problems };
      },
      snapshot: () => ({ moved: [...held.values()] }),
    },
    deps,
  );
  for (const moved of document.loaded) held.set(moved.path, moved);
  return {
    find: (path) => held.get(path),
    all: () => [...held.values()],
    add: async (moved) => {
      held.set(moved.path, moved);
      document.changed();
      await document.commit();
    },
    forget: (path) => {
      if (held.delete(path)) document.changed();
    },
    commit: () => document.commit(),
  };
}
