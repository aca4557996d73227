import { loadDocument } from "../../base/atomic-file.ts";
import type { Clock } from "../../base/clock.ts";
import type { DocumentFormat } from "../../base/document.ts";
import { createDocumentWriter, type DocumentStatus } from "../../base/document-writer.ts";
import type { Log } from "../../base/log.ts";
import { laneName } from "../runtime/process/workload-files.ts";
import type { Lane } from "../runtime/run-handle.ts";
import { firstProblem } from "./first-problem.ts";
import { type RegistryRecord, registryRecordSchema } from "./record.ts";

/**
 * `registry.json`: what runs, as far as it was last written down. A cache of the truth in `/proc`: lost, forged or
 * corrupt it costs counters and memories, never a stream.
 */
export interface Registry {
  get(id: string, lane?: Lane): RegistryRecord | undefined;
  put(record: RegistryRecord): void;
  remove(id: string, lane?: Lane): void;
  clear(): void;
  all(): Iterable<RegistryRecord>;
  /** Resolves when all changes so far are durable, or when the disk has been given up on for now. Never rejects. */
  commit(): Promise<void>;
  status(): DocumentStatus;
  /** Why something of the file was not used, one sentence each; empty for a good file and for none. */
  readonly problems: readonly string[];
}

export const REGISTRY_FORMAT: DocumentFormat = { format: "sluice.registry", version: 1, minReader: 1 };

export interface RegistryDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Loads what is there. Never throws, whatever stands in the file. */
export function createRegistry(options: { readonly file: string }, deps: RegistryDeps): Registry {
  const loaded = loadDocument(options.file, REGISTRY_FORMAT, deps);
  const { records, problems } = parseRecords(loaded.data);
  for (const problem of problems) deps.log.warn(`A record of ${options.file} is ignored: ${problem}`);

  const snapshot = () => ({ records: [...records.values()] });
  const { isCurrentGood } = loaded;
  const currentText = isCurrentGood && problems.length === 0 ? JSON.stringify(loaded.data) : undefined;
  const writer = createDocumentWriter(
    { ...REGISTRY_FORMAT, path: options.file, isCurrentGood, currentText },
    { ...deps, snapshot },
  );
  return {
    get: (id, lane = 0) => records.get(laneName(id, lane)),
    put: (record) => {
      records.set(keyOf(record), record);
      writer.changed();
    },
    remove: (id, lane = 0) => {
      if (records.delete(laneName(id, lane))) writer.changed();
    },
    clear: () => {
      if (records.size === 0) return;
      records.clear();
      writer.changed();
    },
    all: () => records.values(),
    commit: writer.commit,
    status: writer.status,
    problems: [...loaded.problems, ...problems],
  };
}

function parseRecords(data: unknown): {
  readonly records: Map<string, RegistryRecord>;
  readonly problems: readonly string[];
} {
  const records = new Map<string, RegistryRecord>();
  const problems: string[] = [];
  if (data === undefined) return { records, problems };
  const list = typeof data === "object" && data !== null && "records" in data ? data.records : undefined;
  if (!Array.isArray(list)) return { records, problems: ["it holds no list of records"] };
  for (const [index, item] of list.entries()) {
    const parsed = registryRecordSchema.safeParse(item);
    if (!parsed.success) problems.push(firstProblem(`records[${index}]`, parsed.error));
    else if (records.has(keyOf(parsed.data))) problems.push(`records[${index}].id: ${parsed.data.id} is there twice`);
    else records.set(keyOf(parsed.data), parsed.data);
  }
  return { records, problems };
}

function keyOf({ id, lane }: RegistryRecord): string {
  return laneName(id, lane ?? 0);
}
