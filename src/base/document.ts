import { createHash } from "node:crypto";

/** A JSON file that says what it is, which release wrote it and whether it is whole. */
export interface DocumentFormat {
  /** `sluice.registry`. */
  readonly format: string;
  /** What this release writes. */
  readonly version: number;
  /** The oldest version a reader must know to make sense of what this release writes. */
  readonly minReader: number;
}

export type ParsedDocument =
  | { readonly kind: "good"; readonly data: unknown; readonly savedAt: string }
  /** Of a newer release. `data` only where its writer says that a reader of our version understands it. */
  | { readonly kind: "newer"; readonly version: number; readonly data: unknown }
  | { readonly kind: "bad"; readonly reason: string };

/** `dataText` is the data as `JSON.stringify` gives it; `savedAt` is ISO 8601, for people. */
export function formatDocument(format: DocumentFormat, dataText: string, savedAt: string): string {
  const head = { ...format, checksum: checksumOf(dataText), savedAt };
  return `${JSON.stringify(head).slice(0, -1)},"data":${dataText}}\n`;
}

export function parseDocument(text: string, format: DocumentFormat): ParsedDocument {
  const bad = (reason: string): ParsedDocument => ({ kind: "bad", reason });
  if (text === "") return bad("it is empty");
  if (/^\0+$/.test(text)) return bad("it holds only NUL bytes");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return bad("it is not JSON, or not all of it");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return bad("it is no JSON object");
  const fields: Readonly<Record<string, unknown>> = { ...value };
  const { version, minReader, data, savedAt } = fields;
  if (fields["format"] !== format.format) {
    return bad(`its format is ${shown(fields["format"])}, not ${format.format}`);
  }
  if (!Number.isSafeInteger(version) || typeof version !== "number" || version < 1) {
    return bad(`its version is ${shown(version)}`);
  }
  const isReadable = typeof minReader === "number" && minReader <= format.version;
  if (version > format.version && !isReadable) return { kind: "newer", version, data: undefined };
  // What JSON.parse read, JSON.stringify writes back the same way: the checksum is over the data's text.
  if (data === undefined || !fits(data, fields["checksum"])) return bad("its checksum does not fit");
  if (version > format.version) return { kind: "newer", version, data };
  return { kind: "good", data, savedAt: typeof savedAt === "string" ? savedAt : "" };
}

function fits(data: unknown, checksum: unknown): boolean {
  try {
    return checksumOf(JSON.stringify(data)) === checksum;
  } catch {
    // Nested deeper than it can be written: nothing of ours.
    return false;
  }
}

function checksumOf(dataText: string): string {
  return createHash("sha256").update(dataText).digest("hex");
}

function shown(value: unknown): string {
  return value === undefined ? "missing" : (JSON.stringify(value) ?? "missing").slice(0, 60);
}
