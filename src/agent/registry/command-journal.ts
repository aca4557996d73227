import { z } from "zod";
import type { DocumentFormat } from "../../base/document.ts";
import { reportSchema } from "../../contract/report.ts";
import { firstProblem } from "./first-problem.ts";
import { openStateDocument, type StateDocumentDeps, type Understood } from "./state-document.ts";

const FORMAT: DocumentFormat = { format: "sluice.commands", version: 1, minReader: 1 };
/** A hub repeats itself soon, if ever: ids older than these many are forgotten once their answer has arrived. */
const KEPT = 500;

const resultSchema = reportSchema.shape.commandResults.element;
export type CommandResult = z.output<typeof resultSchema>;

const entrySchema = z.object({
  id: z.string(),
  name: z.string(),
  /** Absent: it was begun, and whether it was done is known only to the agent that began it. */
  result: resultSchema.optional(),
  isTold: z.boolean(),
});
export type JournalEntry = z.output<typeof entrySchema>;
const journalSchema = z.array(entrySchema).max(10 * KEPT);

/** `commands.json`: every command that was begun here, so that none is begun twice, and what came of it. */
export interface CommandJournal {
  /** Of an earlier agent. */
  readonly loaded: readonly JournalEntry[];
  get(id: string): JournalEntry | undefined;
  /** Resolves when it is durable that this command was begun, or when the disk has been given up on for now. Never rejects. */
  begin(id: string, name: string): Promise<void>;
  /** In memory alone, with its answer: it is on disk elsewhere, and may be asked for again after a restart. */
  note(id: string, name: string): void;
  finish(result: CommandResult, name: string): void;
  /** The hub has these answers. */
  told(ids: readonly string[]): void;
  /** Never rejects. */
  commit(): Promise<void>;
}

/** Never throws, whatever stands in the file. */
export function openCommandJournal(file: string, deps: StateDocumentDeps): CommandJournal {
  const { loaded, changed, commit } = openStateDocument(
    { path: file, format: FORMAT, parse: parseJournal, snapshot: (): unknown => [...entries.values()] },
    deps,
  );
  const entries = new Map(loaded.map((entry) => [entry.id, entry]));

  const noted = new Map<string, JournalEntry>();

  const put = (entry: JournalEntry) => {
    const isNoted = noted.has(entry.id);
    hold(isNoted ? noted : entries, entry);
    if (!isNoted) changed();
  };

  return {
    loaded,
    get: (id) => entries.get(id) ?? noted.get(id),
    begin: (id, name) => {
      put({ id, name, isTold: false });
      return commit();
    },
    note: (id, name) => hold(noted, { id, name, isTold: false }),
    finish: (result, name) => put({ id: result.id, name, result, isTold: false }),
    told: (ids) => {
      for (const id of ids) {
        const entry = entries.get(id) ?? noted.get(id);
        if (entry !== undefined && !entry.isTold) put({ ...entry, isTold: true });
      }
    },
    commit,
  };
}

function hold(entries: Map<string, JournalEntry>, entry: JournalEntry): void {
  entries.set(entry.id, entry);
  for (const [id, { isTold }] of entries) {
    if (entries.size <= KEPT) break;
    if (isTold) entries.delete(id);
  }
}

function parseJournal(data: unknown): Understood<readonly JournalEntry[]> {
  const entries = journalSchema.safeParse(data ?? []);
  if (entries.success) return { value: entries.data, problems: [] };
  return { value: [], problems: [firstProblem("data", entries.error)] };
}
