import { readFile, rename, writeFile } from "node:fs/promises";
import { type DocumentFormat, formatDocument, parseDocument } from "../../../base/document.ts";
import { OUTPUT_NAMES, type OutputName } from "../../../contract/fleet/log-line.ts";
import type { LogPlace } from "./session-log.ts";

/** How far one output has been taken over into the log. */
export interface OutputPosition {
  /** What the rest counts from: the inode of a raw file, or the time of an engine's entry in nanoseconds. */
  readonly from: string;
  /** Entries with that time that are in the log. */
  readonly entries: number;
  /** Bytes after it that are in the log. */
  readonly bytes: number;
  readonly isAfterReturn: boolean;
}

export type OutputPositions = Readonly<Partial<Record<OutputName, OutputPosition>>>;

/**
 * The positions of both outputs, and where the log ended when they were so. Written after each batch: whoever comes after a kill takes
 * back the one batch that may stand beyond it, and reads that again, so no line is missing and none is there twice.
 */
export interface OutputCursor {
  /** `files`, or the instance of an engine. */
  readonly source: string;
  /** `null`: there was no log. */
  readonly log: LogPlace | null;
  readonly positions: OutputPositions;
}

const FORMAT: DocumentFormat = { format: "sluice.output-cursor", version: 1, minReader: 1 };

/** Not synced: after a loss of power the raw files are gone too, and an engine is asked from an older place. */
export async function saveOutputCursor(path: string, cursor: OutputCursor, savedAt: string): Promise<void> {
  const temporary = `${path}.tmp`;
  await writeFile(temporary, formatDocument(FORMAT, JSON.stringify(cursor), savedAt), { mode: 0o600 });
  await rename(temporary, path);
}

/** `none`: there never was one; `bad`: there is one that cannot be read. */
export async function loadOutputCursor(path: string): Promise<OutputCursor | "none" | "bad"> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return "none";
  const parsed = parseDocument(text, FORMAT);
  return (parsed.kind === "bad" ? undefined : toCursor(parsed.data)) ?? "bad";
}

function toCursor(data: unknown): OutputCursor | undefined {
  const { source, log, positions } = fieldsOf(data);
  const { inode, sizeBytes } = fieldsOf(log);
  const isPlace = typeof inode === "number" && typeof sizeBytes === "number";
  if (typeof source !== "string" || (log !== null && !isPlace)) return undefined;
  const found: Partial<Record<OutputName, OutputPosition>> = {};
  for (const name of OUTPUT_NAMES) {
    const { from, entries, bytes, isAfterReturn } = fieldsOf(fieldsOf(positions)[name]);
    if (typeof from !== "string" || !/^\d+$/.test(from)) continue;
    if (typeof entries !== "number" || typeof bytes !== "number") continue;
    found[name] = { from, entries, bytes, isAfterReturn: isAfterReturn === true };
  }
  return { source, log: isPlace ? { inode, sizeBytes } : null, positions: found };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
