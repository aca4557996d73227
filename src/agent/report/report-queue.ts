import { type Report, reportSchema } from "../../contract/report.ts";

/** What must not be lost while nobody can be told. */
export type QueueEntry =
  | { readonly kind: "occurrence"; readonly value: Report["occurrences"][number] }
  | { readonly kind: "command-result"; readonly value: Report["commandResults"][number] };

export interface ReportQueue {
  /** Oldest first. */
  readonly entries: readonly QueueEntry[];
  /** Of all entries as lines. */
  readonly bytes: number;
  /** Entries given up since a report last got through. */
  readonly dropped: number;
}

export interface ReportQueueBounds {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

export const EMPTY_QUEUE: ReportQueue = { entries: [], bytes: 0, dropped: 0 };

/** How far a full queue is emptied, so that not every further entry costs a rewrite of the file. */
const KEPT_PART = 0.9;

export function lineOf(entry: QueueEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

/** Adds at the end; when that exceeds a bound the oldest tenth goes, and is counted. */
export function enqueue(queue: ReportQueue, entry: QueueEntry, bounds: ReportQueueBounds): ReportQueue {
  const entries = [...queue.entries, entry];
  let bytes = queue.bytes + Buffer.byteLength(lineOf(entry));
  if (entries.length <= bounds.maxEntries && bytes <= bounds.maxBytes) return { ...queue, entries, bytes };
  let gone = 0;
  while (entries.length - gone > bounds.maxEntries * KEPT_PART || bytes > bounds.maxBytes * KEPT_PART) {
    const oldest = entries[gone];
    if (oldest === undefined) break;
    bytes -= Buffer.byteLength(lineOf(oldest));
    gone++;
  }
  return { entries: entries.slice(gone), bytes, dropped: queue.dropped + gone };
}

/** Without the `entries`, which were delivered, whatever came or went meanwhile; `dropped` has been told. */
export function afterDelivery(queue: ReportQueue, delivered: readonly QueueEntry[], dropped: number): ReportQueue {
  const told = new Set(delivered);
  const entries = queue.entries.filter((entry) => !told.has(entry));
  return { entries, bytes: bytesOf(entries), dropped: Math.max(0, queue.dropped - dropped) };
}

/** Without `entry`, which nobody will take. */
export function afterGivingUp(queue: ReportQueue, entry: QueueEntry): ReportQueue {
  const rest = afterDelivery(queue, [entry], 0);
  return { ...rest, dropped: rest.dropped + queue.entries.length - rest.entries.length };
}

/** The file's text: what was dropped, then a line an entry. */
export function serializeQueue(queue: ReportQueue): string {
  const head = queue.dropped === 0 ? "" : `${JSON.stringify({ kind: "dropped", value: queue.dropped })}\n`;
  return head + queue.entries.map(lineOf).join("");
}

/** Reads what it can. `isClean` is false when the file must be written anew before anything is appended to it. */
export function parseQueue(text: string): { readonly queue: ReportQueue; readonly isClean: boolean } {
  const lines = text.split("\n");
  const torn = lines.pop();
  const entries: QueueEntry[] = [];
  let dropped = 0;
  let isClean = torn === "";
  for (const line of lines) {
    const parsed = parseLine(line);
    if (parsed === undefined) isClean = false;
    else if (typeof parsed === "number") dropped += parsed;
    else entries.push(parsed);
  }
  return { queue: { entries, bytes: bytesOf(entries), dropped }, isClean };
}

function bytesOf(entries: readonly QueueEntry[]): number {
  return entries.reduce((bytes, entry) => bytes + Buffer.byteLength(lineOf(entry)), 0);
}

function parseLine(line: string): QueueEntry | number | undefined {
  let raw: unknown;
  try {
    raw = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof raw !== "object" || raw === null || !("kind" in raw) || !("value" in raw)) return undefined;
  if (raw.kind === "dropped") return Number.isSafeInteger(raw.value) ? Number(raw.value) : undefined;
  if (raw.kind === "occurrence") {
    const { data } = reportSchema.shape.occurrences.element.safeParse(raw.value);
    return data === undefined ? undefined : { kind: "occurrence", value: data };
  }
  if (raw.kind === "command-result") {
    const { data } = reportSchema.shape.commandResults.element.safeParse(raw.value);
    return data === undefined ? undefined : { kind: "command-result", value: data };
  }
  return undefined;
}
