import { z } from "zod";
import { loadDocument } from "../../base/atomic-file.ts";
import type { DocumentFormat } from "../../base/document.ts";
import { createDocumentWriter, type DocumentStatus } from "../../base/document-writer.ts";
import { type Workload, workloadSchema } from "../../contract/workload.ts";
import type { ExpectedDocument } from "../reconcile/expected-store.ts";
import { firstProblem } from "./first-problem.ts";
import type { RegistryDeps } from "./registry.ts";

/** `persistent_state.json`. */
export interface ExpectedFile {
  /** What was there at the start; undefined for none or nothing usable. */
  readonly loaded: ExpectedDocument | undefined;
  /** Why something of the file was not used, one sentence each. */
  readonly problems: readonly string[];
  save(document: ExpectedDocument): void;
  /** Resolves when what was saved is durable, or when the disk has been given up on for now. Never rejects. */
  commit(): Promise<void>;
  status(): DocumentStatus;
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
export function createExpectedFile(options: { readonly file: string }, deps: RegistryDeps): ExpectedFile {
  const found = loadDocument(options.file, EXPECTED_FORMAT, deps);
  const { document, problems } = parseExpected(found.data);
  for (const problem of problems) deps.log.warn(`Part of ${options.file} is ignored: ${problem}`);

  let current = document;
  const { isCurrentGood } = found;
  const currentText = isCurrentGood && problems.length === 0 ? JSON.stringify(found.data) : undefined;
  const writer = createDocumentWriter(
    { ...EXPECTED_FORMAT, path: options.file, isCurrentGood, currentText },
    { ...deps, snapshot: () => current ?? { workloads: [] } },
  );
  return {
    loaded: document,
    problems: [...found.problems, ...problems],
    save: (next) => {
      current = next;
      writer.changed();
    },
    commit: writer.commit,
    status: writer.status,
  };
}

function parseExpected(data: unknown): {
  readonly document: ExpectedDocument | undefined;
  readonly problems: readonly string[];
} {
  if (data === undefined) return { document: undefined, problems: [] };
  const parsed = documentSchema.safeParse(data);
  if (!parsed.success) return { document: undefined, problems: [firstProblem("data", parsed.error)] };
  const workloads: Workload[] = [];
  const problems: string[] = [];
  for (const [index, item] of parsed.data.workloads.entries()) {
    const workload = workloadSchema.safeParse(item);
    if (workload.success) workloads.push(workload.data);
    else problems.push(firstProblem(`workloads[${index}]`, workload.error));
  }
  // Without one of its workloads the set is no longer the one of that revision: the server must be asked for all of it.
  const { epoch, revision, lastEventId } = problems.length === 0 ? parsed.data : {};
  const { heldIds, sessions } = parsed.data;
  return { document: { epoch, revision, lastEventId, workloads, heldIds, sessions }, problems };
}
