import { z } from "zod";
import { loadDocument } from "../../base/atomic-file.ts";
import type { DocumentFormat } from "../../base/document.ts";
import { createDocumentWriter } from "../../base/document-writer.ts";
import type { RegistryDeps } from "./registry.ts";

const FORMAT: DocumentFormat = { format: "sluice.remote", version: 1, minReader: 1 };
/** More than can live at a time on one box, by far: older ones are over. */
const KEPT = 2000;

const entrySchema = z.object({ session: z.string(), bootId: z.string() });
export type RemoteBookEntry = z.output<typeof entrySchema>;

/** `remote_sessions.json`: every remote session that was begun here, so that none is begun twice. */
export interface RemoteBook {
  get(session: string): RemoteBookEntry | undefined;
  /** Resolves when it is durable that this session was begun, or when the disk has been given up on for now. Never rejects. */
  begin(session: string, bootId: string): Promise<void>;
  /** It was never begun after all. */
  forget(session: string): void;
}

/** Never throws, whatever stands in the file. */
export function openRemoteBook(file: string, deps: RegistryDeps): RemoteBook {
  const found = loadDocument(file, FORMAT, deps);
  const loaded =
    z
      .array(entrySchema)
      .max(2 * KEPT)
      .safeParse(found.data ?? []).data ?? [];
  const entries = new Map(loaded.map((entry) => [entry.session, entry]));
  const writer = createDocumentWriter(
    { ...FORMAT, path: file, isCurrentGood: found.isCurrentGood },
    { ...deps, snapshot: () => [...entries.values()] },
  );
  return {
    get: (session) => entries.get(session),
    begin: (session, bootId) => {
      entries.set(session, { session, bootId });
      for (const oldest of entries.keys()) {
        if (entries.size <= KEPT) break;
        entries.delete(oldest);
      }
      writer.changed();
      return writer.commit();
    },
    forget: (session) => {
      if (entries.delete(session)) writer.changed();
    },
  };
}
