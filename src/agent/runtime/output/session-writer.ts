import type { Clock } from "../../../base/clock.ts";
import { formatWallTime } from "../../../base/log.ts";
import { OUTPUT_NAMES, type OutputName } from "../../../contract/fleet/log-line.ts";
import { type ByteLine, type ByteLines, createByteLines } from "./byte-lines.ts";
import { cutOfLine, LONGEST_SECRET_BYTES, toLineText } from "./line-text.ts";
import { amountOf, type LogAmounts, NO_AMOUNTS, sumOf } from "./log-ledger.ts";
import { loadOutputCursor, type OutputCursor, type OutputPositions, saveOutputCursor } from "./output-cursor.ts";
import type { OutputJournal } from "./output-owner.ts";
import { formatSessionGap, formatSessionLine, type SessionGap } from "./session-line.ts";
import type { SessionLog } from "./session-log.ts";

/** Makes a session's log of what its two outputs write, batch by batch; where it ends and how far they are is noted after each. */
export interface SessionWriter {
  /** Takes back what a predecessor wrote after it last noted where it was. Resolves with where to go on. */
  open(): Promise<OutputCursor | "none" | "bad">;
  /** `wallMs`: when it was written, or read. */
  take(output: OutputName, bytes: Buffer, wallMs: number): void;
  /** So many bytes were left out here. */
  lose(output: OutputName, bytes: number, reason: string): void;
  tell(gap: SessionGap): void;
  /** Nothing more comes: what stands without a line end is a line. */
  endLines(): void;
  /** Writes what was taken, and notes where it is. */
  commit(positions: OutputPositions): Promise<void>;
  /** Bytes of an output that were taken and wait for the end of their line. */
  heldBytes(output: OutputName): number;
  isAfterReturn(output: OutputName): boolean;
  hasBatch(): boolean;
  tail(): readonly string[];
  lostBytes(): number;
  failure(): string | undefined;
  /** Nothing more comes. */
  close(): void;
}

export interface SessionWriterOptions {
  readonly workloadId: string;
  /** `files`, or the instance of an engine. */
  readonly source: string;
  readonly cursorPath: string;
  readonly maxLineBytes: number;
  readonly tailLines: number;
}

export interface SessionWriterDeps {
  readonly clock: Clock;
  readonly log: SessionLog;
  readonly redact: (text: string) => string;
  readonly journal: OutputJournal | undefined;
}

export function createSessionWriter(options: SessionWriterOptions, deps: SessionWriterDeps): SessionWriter {
  const { clock, redact, log } = deps;
  let outputs = newOutputs(options, redact, {});
  let batch: string[] = [];
  let spoken: string[] = [];
  let tail: readonly string[] = [];
  const reasons = new Map<OutputName, string>();
  let lostBytes = 0;
  const counts = { stdout: { lines: 0, given: 0, told: 0 }, stderr: { lines: 0, given: 0, told: 0 } };
  /** What the disk did not take, which is told once it does. */
  let refused: LogAmounts | undefined;

  /** What the lines and gaps stand for that were made since the last time. */
  const takeAmounts = (): LogAmounts => {
    const of = (output: OutputName) => {
      const count = counts[output];
      const upTo = count.given - outputs[output].heldBytes();
      const amount = { lines: count.lines, bytes: upTo - count.told };
      count.lines = 0;
      count.told = upTo;
      return amount;
    };
    return { stdout: of("stdout"), stderr: of("stderr") };
  };

  const tell = (gap: SessionGap, wallMs = clock.wallMs()) => {
    batch.push(formatSessionGap(gap, wallMs));
    lostBytes += gap.bytes ?? 0;
  };
  const tellLost = (output: OutputName, wallMs: number) => {
    const bytes = outputs[output].takeLost();
    if (bytes > 0) tell({ bytes, reason: `${output}: ${reasons.get(output) ?? "lost"}` }, wallMs);
  };
  const add = (output: OutputName, lines: readonly ByteLine[], wallMs: number) => {
    tellLost(output, wallMs);
    if (lines.length === 0) return;
    counts[output].lines += lines.length;
    const time = formatWallTime(wallMs);
    const texts = lines.map(({ bytes }) => toLineText(bytes, redact));
    lines.forEach(({ continues }, index) => {
      batch.push(formatSessionLine({ output, text: texts[index] ?? "", continues }, time));
    });
    tail = [...tail, ...texts.slice(-options.tailLines)].slice(-options.tailLines);
    if (deps.journal !== undefined) spoken.push(...texts);
  };

  return {
    open: async () => {
      const cursor = await loadOutputCursor(options.cursorPath);
      if (typeof cursor === "string") return cursor;
      await log.takeBack(cursor.log ?? undefined);
      if (cursor.source !== options.source) return "none";
      outputs = newOutputs(options, redact, cursor.positions);
      return cursor;
    },
    take: (output, bytes, wallMs) => {
      counts[output].given += bytes.length;
      add(output, outputs[output].push(bytes), wallMs);
    },
    lose: (output, bytes, reason) => {
      counts[output].given += bytes;
      reasons.set(output, reason);
      outputs[output].skip(bytes);
    },
    tell,
    endLines: () => {
      for (const output of OUTPUT_NAMES) add(output, outputs[output].rest(), clock.wallMs());
    },
    heldBytes: (output) => outputs[output].heldBytes(),
    isAfterReturn: (output) => outputs[output].isAfterReturn(),
    hasBatch: () => batch.length > 0,
    tail: () => tail,
    lostBytes: () => lostBytes,
    failure: log.failure,
    close: log.close,
    commit: async (positions) => {
      // What belongs to these positions is taken before anything is waited for.
      const lines = batch;
      batch = [];
      if (spoken.length > 0) deps.journal?.write(options.workloadId, spoken);
      spoken = [];
      if (lines.length > 0) {
        const before = refused ?? NO_AMOUNTS;
        const gap = { ...amountOf(before), reason: "the disk did not take them" };
        const head = refused === undefined ? "" : formatSessionGap(gap, clock.wallMs());
        const amounts = sumOf(before, takeAmounts());
        // Told or not, they are part of what a reader of this place has missed.
        refused = amounts;
        if (await log.append(`${head}${lines.join("")}`, amounts)) refused = undefined;
      }
      // Where this cannot be noted, the next agent reads from an older place, and takes back what is beyond it.
      const place = await log.place().catch(() => undefined);
      const cursor = { source: options.source, log: place ?? null, positions };
      const savedAt = new Date(clock.wallMs()).toISOString();
      await saveOutputCursor(options.cursorPath, cursor, savedAt).catch(() => undefined);
    },
  };
}

function newOutputs(
  { maxLineBytes }: SessionWriterOptions,
  redact: (text: string) => string,
  positions: OutputPositions,
): Readonly<Record<OutputName, ByteLines>> {
  const of = (output: OutputName) =>
    createByteLines({
      maxHeldBytes: maxLineBytes + LONGEST_SECRET_BYTES,
      maxSkippedBytes: LONGEST_SECRET_BYTES,
      cutAt: (held) => cutOfLine(held, maxLineBytes, redact),
      isAfterReturn: positions[output]?.isAfterReturn,
    });
  return { stdout: of("stdout"), stderr: of("stderr") };
}
