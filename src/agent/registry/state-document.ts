import { loadDocument } from "../../base/atomic-file.ts";
import type { Clock } from "../../base/clock.ts";
import type { DocumentFormat } from "../../base/document.ts";
import { createDocumentWriter, type DocumentStatus } from "../../base/document-writer.ts";
import type { Log } from "../../base/log.ts";

/** A document in the state directory, and how what it holds stands on disk. */
export interface StateDocument {
  /** Why something of the file was not used, one sentence each; empty for a good file and for none. */
  readonly problems: readonly string[];
  /** What is in memory has changed; it is written behind the caller, and only where the text is another. */
  changed(): void;
  /** Resolves when what changed is durable, or when the disk has been given up on for now. Never rejects. */
  commit(): Promise<void>;
  status(): DocumentStatus;
}

export interface StateDocumentDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** What was understood of a document, and why the rest of it was not, one sentence each. */
export interface Understood<Value> {
  readonly value: Value;
  readonly problems: readonly string[];
}

/** Loads what is there. Never throws, whatever stands in the file. */
export function openStateDocument<Value>(
  options: {
    readonly path: string;
    readonly format: DocumentFormat;
    /** `undefined`: there is no document. */
    readonly parse: (data: unknown) => Understood<Value>;
    /** What is to be on disk; asked once for each writing. */
    readonly snapshot: () => unknown;
  },
  deps: StateDocumentDeps,
): StateDocument & { readonly loaded: Value } {
  const { path, format, parse, snapshot } = options;
  const found = loadDocument(path, format, deps);
  const { value, problems } = parse(found.data);
  for (const problem of problems) deps.log.warn(`Part of ${path} is ignored: ${problem}`);
  const { isCurrentGood } = found;
  const currentText = isCurrentGood && problems.length === 0 ? JSON.stringify(found.data) : undefined;
  const writer = createDocumentWriter({ ...format, path, isCurrentGood, currentText }, { ...deps, snapshot });
  return {
    loaded: value,
    problems: [...found.problems, ...problems],
    changed: writer.changed,
    commit: writer.commit,
    status: writer.status,
  };
}
