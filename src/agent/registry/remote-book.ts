import { z } from "zod";
import type { DocumentFormat } from "../../base/document.ts";
import { parseEntries } from "./parse-entries.ts";
import { openStateDocument, type StateDocumentDeps, type Understood } from "./state-document.ts";

const FORMAT: DocumentFormat = { format: "sluice.remote", version: 1, minReader: 1 };
/** More than can live at a time on one box, by far: older ones are over. */
const KEPT = 2000;

const entrySchema = z.object({
  session: z.string(),
  bootId: z.string(),
  /** A command that goes on without its operator. */
  isDetached: z.boolean().optional(),
});
export type RemoteBookEntry = z.output<typeof entrySchema>;

/** `remote_sessions.json`: every remote session that was begun here, so that none is begun twice. */
export interface RemoteBook {
  get(session: string): RemoteBookEntry | undefined;
  /** Resolves when it is durable that this session was begun, or when the disk has been given up on for now. Never rejects. */
  begin(entry: RemoteBookEntry): Promise<void>;
  /** Those that were detached, oldest first. */
  detached(): readonly RemoteBookEntry[];
  /** It was not begun after all. */
  forget(session: string): void;
}

/** Never throws, whatever stands in the file. */
export function openRemoteBook(file: string, deps: StateDocumentDeps): RemoteBook {
  const { loaded, changed, commit } = openStateDocument(
    { path: file, format: FORMAT, parse: parseBook, snapshot: (): unknown => [...entries.values()] },
    deps,
  );
  const entries = new Map(loaded.map((entry) => [entry.session, entry]));
  return {
    get: (session) => entries.get(session),
    begin: (entry) => {
      entries.set(entry.session, entry);
      for (const oldest of entries.keys()) {
        if (entries.size <= KEPT) break;
        entries.delete(oldest);
      }
      changed();
      return commit();
    },
    detached: () => [...entries.values()].filter(({ isDetached }) => isDetached === true),
    forget: (session) => {
      if (entries.delete(session)) changed();
    },
  };
}

function parseBook(data: unknown): Understood<readonly RemoteBookEntry[]> {
  const { parsed, problems } = parseEntries("data", Array.isArray(data) ? data : [], entrySchema);
  return { value: parsed.slice(-KEPT), problems };
}
