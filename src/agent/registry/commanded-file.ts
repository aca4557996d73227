import { z } from "zod";
import { loadDocument } from "../../base/atomic-file.ts";
import type { DocumentFormat } from "../../base/document.ts";
import { createDocumentWriter, type DocumentStatus } from "../../base/document-writer.ts";
import { sessionWorkloadSchema } from "../../contract/workload.ts";
import { type CommandedSession, type CommandedState, NOTHING_COMMANDED } from "../reconcile/commanded.ts";
import { firstProblem } from "./first-problem.ts";
import type { RegistryDeps } from "./registry.ts";

const FORMAT: DocumentFormat = { format: "sluice.commanded", version: 1, minReader: 1 };

const generation = z.int().nonnegative();
const documentSchema = z.object({
  sessions: z.array(z.unknown()),
  ended: z.array(z.tuple([z.string(), generation])),
  outcomes: z.array(z.object({ id: z.string(), text: z.string() })),
});
const sessionSchema = z.object({ generation, workload: sessionWorkloadSchema });

/** `commanded_state.json`: what was asked for by command. */
export interface CommandedFile {
  readonly loaded: CommandedState;
  /** Why something of the file was not used, one sentence each. */
  readonly problems: readonly string[];
  save(state: CommandedState): void;
  /** Resolves when what was saved is durable, or when the disk has been given up on for now. Never rejects. */
  commit(): Promise<void>;
  status(): DocumentStatus;
}

/** Loads what is there. Never throws, whatever stands in the file. A session that is not understood is left out. */
export function createCommandedFile(options: { readonly file: string }, deps: RegistryDeps): CommandedFile {
  const found = loadDocument(options.file, FORMAT, deps);
  const { state, problems } = parseCommanded(found.data);
  for (const problem of problems) deps.log.warn(`Part of ${options.file} is ignored: ${problem}`);
  let current = state;
  const { isCurrentGood } = found;
  const currentText = isCurrentGood && problems.length === 0 ? JSON.stringify(found.data) : undefined;
  const writer = createDocumentWriter(
    { ...FORMAT, path: options.file, isCurrentGood, currentText },
    {
      ...deps,
      snapshot: () => ({
        sessions: [...current.sessions.values()],
        ended: [...current.ended],
        outcomes: current.outcomes,
      }),
    },
  );
  return {
    loaded: state,
    problems: [...found.problems, ...problems],
    save: (next) => {
      current = next;
      writer.changed();
    },
    commit: writer.commit,
    status: writer.status,
  };
}

function parseCommanded(data: unknown): { readonly state: CommandedState; readonly problems: readonly string[] } {
  if (data === undefined) return { state: NOTHING_COMMANDED, problems: [] };
  const parsed = documentSchema.safeParse(data);
  if (!parsed.success) return { state: NOTHING_COMMANDED, problems: [firstProblem("data", parsed.error)] };
  const sessions = new Map<string, CommandedSession>();
  const problems: string[] = [];
  for (const [index, item] of parsed.data.sessions.entries()) {
    const session = sessionSchema.safeParse(item);
    if (session.success) sessions.set(session.data.workload.id, session.data);
    else problems.push(firstProblem(`sessions[${index}]`, session.error));
  }
  const { ended, outcomes } = parsed.data;
  return { state: { sessions, ended: new Map(ended), outcomes }, problems };
}
