import type { DocumentFormat } from "../../base/document.ts";
import { laneName } from "../runtime/process/workload-files.ts";
import type { Lane } from "../runtime/run-handle.ts";
import { parseEntries } from "./parse-entries.ts";
import { type RegistryRecord, registryRecordSchema } from "./record.ts";
import { openStateDocument, type StateDocument, type StateDocumentDeps, type Understood } from "./state-document.ts";

/**
 * `registry.json`: what runs, as far as it was last written down. A cache of the truth in `/proc`: lost, forged or
 * corrupt it costs counters and memories, never a stream.
 */
export interface Registry extends Omit<StateDocument, "changed"> {
  get(id: string, lane?: Lane): RegistryRecord | undefined;
  put(record: RegistryRecord): void;
  remove(id: string, lane?: Lane): void;
  clear(): void;
  all(): Iterable<RegistryRecord>;
}

export const REGISTRY_FORMAT: DocumentFormat = { format: "sluice.registry", version: 1, minReader: 1 };

/** Loads what is there. Never throws, whatever stands in the file. */
export function createRegistry(options: { readonly file: string }, deps: StateDocumentDeps): Registry {
  const snapshot = (): unknown => ({ records: [...records.values()] });
  const { changed, loaded, ...document } = openStateDocument(
    { path: options.file, format: REGISTRY_FORMAT, parse: parseRecords, snapshot },
    deps,
  );
  const records = new Map(loaded);
  return {
    ...document,
    get: (id, lane = 0) => records.get(laneName(id, lane)),
    put: (record) => {
      records.set(keyOf(record), record);
      changed();
    },
    remove: (id, lane = 0) => {
      if (records.delete(laneName(id, lane))) changed();
    },
    clear: () => {
      if (records.size === 0) return;
      records.clear();
      changed();
    },
    all: () => records.values(),
  };
}

function parseRecords(data: unknown): Understood<ReadonlyMap<string, RegistryRecord>> {
  if (data === undefined) return { value: new Map(), problems: [] };
  const list = typeof data === "object" && data !== null && "records" in data ? data.records : undefined;
  if (!Array.isArray(list)) return { value: new Map(), problems: ["it holds no list of records"] };
  const { parsed, problems } = parseEntries("records", list, registryRecordSchema);
  const records = new Map<string, RegistryRecord>();
  const repeated: string[] = [];
  for (const record of parsed) {
    if (records.has(keyOf(record))) repeated.push(`records: ${record.id} is there twice`);
    else records.set(keyOf(record), record);
  }
  return { value: records, problems: [...problems, ...repeated] };
}

function keyOf({ id, lane }: RegistryRecord): string {
  return laneName(id, lane ?? 0);
}
