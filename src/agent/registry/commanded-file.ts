import { z } from "zod";
import type { DocumentFormat } from "../../base/document.ts";
import { sessionWorkloadSchema } from "../../contract/workload.ts";
import { type CommandedState, NOTHING_COMMANDED } from "../reconcile/commanded.ts";
import { firstProblem } from "./first-problem.ts";
import { parseEntries } from "./parse-entries.ts";
import { openStateDocument, type StateDocument, type StateDocumentDeps, type Understood } from "./state-document.ts";

const FORMAT: DocumentFormat = { format: "sluice.commanded", version: 1, minReader: 1 };

const generation = z.int().nonnegative();
const documentSchema = z.object({
  sessions: z.array(z.unknown()),
  ended: z.array(z.tuple([z.string(), generation])),
  outcomes: z.array(z.object({ id: z.string(), text: z.string() })),
});
const sessionSchema = z.object({ generation, workload: sessionWorkloadSchema });

/** `commanded_state.json`: what was asked for by command. */
export interface CommandedFile extends Omit<StateDocument, "changed"> {
  readonly loaded: CommandedState;
  save(state: CommandedState): void;
}

/** Loads what is there. Never throws, whatever stands in the file. A session that is not understood is left out. */
export function createCommandedFile(options: { readonly file: string }, deps: StateDocumentDeps): CommandedFile {
  const { changed, ...document } = openStateDocument(
    {
      path: options.file,
      format: FORMAT,
      parse: parseCommanded,
      snapshot: (): unknown => ({
        sessions: [...current.sessions.values()],
        ended: [...current.ended],
        outcomes: current.outcomes,
      }),
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

function parseCommanded(data: unknown): Understood<CommandedState> {
  if (data === undefined) return { value: NOTHING_COMMANDED, problems: [] };
  const document = documentSchema.safeParse(data);
  if (!document.success) return { value: NOTHING_COMMANDED, problems: [firstProblem("data", document.error)] };
  const { parsed, problems } = parseEntries("sessions", document.data.sessions, sessionSchema);
  const sessions = new Map(parsed.map((session) => [session.workload.id, session]));
  const { ended, outcomes } = document.data;
  return { value: { sessions, ended: new Map(ended), outcomes }, problems };
}
