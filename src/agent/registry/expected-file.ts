import { z } from "zod";
import type { DocumentFormat } from "../../base/document.ts";
import { workloadSchema } from "../../contract/workload.ts";
import type { ExpectedDocument } from "../reconcile/expected-store.ts";
import { firstProblem } from "./first-problem.ts";
import { parseEntries } from "./parse-entries.ts";
import { openStateDocument, type StateDocument, type StateDocumentDeps, type Understood } from "./state-document.ts";

/** `persistent_state.json`. */
export interface ExpectedFile extends Omit<StateDocument, "changed"> {
  /** What was there at the start; undefined for none or nothing usable. */
  readonly loaded: ExpectedDocument | undefined;
  save(document: ExpectedDocument): void;
}

export const EXPECTED_FORMAT: DocumentFormat = { format: "sluice.expected", version: 1, minReader: 1 };

const documentSchema = z.object({
  epoch: z.string().optional(),
  revision: z.int().nonnegative().optional(),
  lastEventId: z.string().optional(),
  workloads: z.array(z.unknown()),
  heldIds: z.array(z.string()).optional(),
  sessions: z
    .object({
      unclaimed: z.array(z.string()),
      withheld: z.array(z.string()),
      stopped: z.array(z.tuple([z.string(), z.int().nonnegative()])),
    })
    .optional(),
});

/** Loads what is there. Never throws, whatever stands in the file. A workload that is not understood is left out. */
export function createExpectedFile(options: { readonly file: string }, deps: StateDocumentDeps): ExpectedFile {
  const { changed, ...document } = openStateDocument(
    {
      path: options.file,
      format: EXPECTED_FORMAT,
      parse: parseExpected,
      snapshot: (): unknown => current ?? { workloads: [] },
    },
    deps,
  );
  let current = document.loaded;
  return {
    ...document,
    save: (next) => {
      current = next;
      changed();
    },
  };
}

function parseExpected(data: unknown): Understood<ExpectedDocument | undefined> {
  if (data === undefined) return { value: undefined, problems: [] };
  const document = documentSchema.safeParse(data);
  if (!document.success) return { value: undefined, problems: [firstProblem("data", document.error)] };
  const { parsed: workloads, problems } = parseEntries("workloads", document.data.workloads, workloadSchema);
  // Without one of its workloads the set is no longer the one of that revision: the server must be asked for all of it.
  const { epoch, revision, lastEventId } = problems.length === 0 ? document.data : {};
  const { heldIds, sessions } = document.data;
  return { value: { epoch, revision, lastEventId, workloads, heldIds, sessions }, problems };
}
