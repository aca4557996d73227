import { readFileSync } from "node:fs";
import { z } from "zod";
import type { DocumentFormat } from "../../base/document.ts";
import { createDurableLines, type DurableLines } from "../../base/durable-lines.ts";
import { errnoOf, messageOf } from "../../base/errors.ts";
import { parseEntries } from "./parse-entries.ts";
import { openStateDocument, type StateDocumentDeps, type Understood } from "./state-document.ts";

const FORMAT: DocumentFormat = { format: "sluice.remote", version: 1, minReader: 1 };
/** More than can live at a time on one box, by far: older ones are over. */
const KEPT = 2000;
/** So many lines are brought into the document. */
const FOLD_LINES = 1000;
/** A disk that takes longer is given up on for now. */
const HUNG_MS = 2000;

const entrySchema = z.object({
  session: z.string(),
  bootId: z.string(),
  /** A command that goes on without its operator. */
  isDetached: z.boolean().optional(),
});
export type RemoteBookEntry = z.output<typeof entrySchema>;
const lineSchema = z.union([entrySchema, z.object({ session: z.string(), isForgotten: z.literal(true) })]);
type Line = z.output<typeof lineSchema>;

/**
 * `remote_sessions.json`: every remote session that was begun here, so that none is begun twice. What came since the document was
 * written stands in `remote_sessions.jsonl`, a line each: whoever asks for a session waits for the disk once, however many there were.
 */
export interface RemoteBook {
  get(session: string): RemoteBookEntry | undefined;
  /** Resolves when it is durable that this session was begun, or when the disk has been given up on for now. Never rejects. */
  begin(entry: RemoteBookEntry): Promise<void>;
  /** Those that were detached, oldest first. */
  detached(): readonly RemoteBookEntry[];
  /** It was not begun after all. */
  forget(session: string): void;
  /** Resolves when all of it is in the document, which earlier releases read too, or the disk has been given up on. Never rejects. */
  settle(): Promise<void>;
}

export interface RemoteBookDeps extends StateDocumentDeps {
  /** Of the lines; given where a test breaks the disk. */
  readonly lines?: DurableLines;
}

/** Never throws, whatever stands in the files. */
export function openRemoteBook(file: string, deps: RemoteBookDeps): RemoteBook {
  const { clock, log } = deps;
  const { loaded, changed, commit, status } = openStateDocument(
    { path: file, format: FORMAT, parse: parseBook, snapshot: (): unknown => [...entries.values()] },
    deps,
  );
  const linesFile = `${file}l`;
  const lines = deps.lines ?? createDurableLines(linesFile);
  const entries = new Map(loaded.map((entry) => [entry.session, entry]));
  let unfolded = 0;
  let folding: Promise<void> | undefined;

  const take = (line: Line) => {
    if ("isForgotten" in line) {
      entries.delete(line.session);
      return;
    }
    entries.set(line.session, line);
    for (const oldest of entries.keys()) {
      if (entries.size <= KEPT) break;
      entries.delete(oldest);
    }
  };
  try {
    const found = parseLines(readFileSync(linesFile, "utf8"));
    for (const line of found.value) take(line);
    for (const problem of found.problems) log.warn(`Part of ${linesFile} is ignored: ${problem}`);
    unfolded = found.value.length + found.problems.length;
  } catch (thrown) {
    if (errnoOf(thrown) !== "ENOENT") log.error(`${linesFile} cannot be read: ${messageOf(thrown)}`);
  }

  const append = (line: Line): Promise<boolean> =>
    new Promise((resolve) => {
      const hung = clock.timer(HUNG_MS, () => resolve(false));
      lines
        .append(JSON.stringify(line))
        .then(
          () => resolve(true),
          () => resolve(false),
        )
        .finally(() => hung.clear());
    });
  /** Nothing is appended meanwhile: what the document was written without must not be emptied away. */
  const fold = () => {
    folding ??= (async () => {
      changed();
      await commit();
      if (!status().durable) return;
      unfolded = 0;
      await lines.empty().catch(() => undefined);
    })().finally(() => {
      folding = undefined;
    });
    return folding;
  };
  const record = async (line: Line) => {
    await folding;
    // In memory mode the document tries again now and then, and says so.
    const isWritten = status().durable && (await append(line));
    if (!isWritten) {
      changed();
      return commit();
    }
    unfolded += 1;
    if (unfolded >= FOLD_LINES) void fold();
  };

  return {
    get: (session) => entries.get(session),
    begin: (entry) => {
      take(entry);
      return record(entry);
    },
    detached: () => [...entries.values()].filter(({ isDetached }) => isDetached === true),
    forget: (session) => {
      if (entries.delete(session)) void record({ session, isForgotten: true });
    },
    settle: async () => {
      if (unfolded > 0) await fold();
      await lines.close();
    },
  };
}

function parseBook(data: unknown): Understood<readonly RemoteBookEntry[]> {
  const { parsed, problems } = parseEntries("data", Array.isArray(data) ? data : [], entrySchema);
  return { value: parsed.slice(-KEPT), problems };
}

/** Pure. A line that was cut off was never answered for. */
function parseLines(text: string): Understood<readonly Line[]> {
  const value: Line[] = [];
  const problems: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line === "") continue;
    try {
      value.push(lineSchema.parse(JSON.parse(line)));
    } catch {
      problems.push(`line ${index + 1} cannot be read`);
    }
  }
  return { value, problems };
}
