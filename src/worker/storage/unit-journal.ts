import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, readSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";

/** How far one item of a unit is: what lies in the staged file from the item's begin is proved up to here. */
export interface JournalRecord {
  /** `itemKey` of the item. */
  readonly key: string;
  /** Bytes of the item. */
  readonly bytes: number;
  /** Over these bytes, lower-case hexadecimal. */
  readonly sha256: string;
  /** Of the staged file: one that was renamed since is found by it under its name. */
  readonly ino: string;
}

const MAX_JOURNAL_BYTES = 64 * 1024 * 1024;

/** One line: CRC-32 of what follows, in eight digits, then the record. A line that was cut or garbled ends the journal. */
export function encodeRecord({ key, bytes, sha256, ino }: JournalRecord): string {
  const text = `${key} ${bytes} ${sha256} ${ino}`;
  return `${crc32(text).toString(16).padStart(8, "0")} ${text}\n`;
}

const LINE = /^([0-9a-f]{8}) (([0-9a-f]{1,64}) (\d{1,16}) ([0-9a-f]{64}) (\d{1,20}))$/;

/** The last record of each key, and where the good part ends. */
export function decodeJournal(bytes: Buffer): { readonly records: Map<string, JournalRecord>; readonly end: number } {
  const records = new Map<string, JournalRecord>();
  let end = 0;
  while (end < bytes.length) {
    const newline = bytes.indexOf(0x0a, end);
    if (newline === -1) break;
    const parts = LINE.exec(bytes.toString("latin1", end, newline));
    const [, sum, text, key, count, sha256, ino] = parts ?? [];
    if (sum === undefined || text === undefined || Number.parseInt(sum, 16) !== crc32(text)) break;
    if (key === undefined || count === undefined || sha256 === undefined || ino === undefined) break;
    records.set(key, { key, bytes: Number(count), sha256, ino });
    end = newline + 1;
  }
  return { records, end };
}

export interface UnitJournal {
  isEmpty(): boolean;
  of(key: string): JournalRecord | undefined;
  all(): Iterable<JournalRecord>;
  append(records: readonly JournalRecord[]): void;
  sync(): void;
  close(): void;
}

/** Takes over the descriptor, which must be open for reading and writing. What a crash left behind the last good record is cut off. */
export function openUnitJournal(fd: number): UnitJournal {
  const size = Math.min(fstatSync(fd).size, MAX_JOURNAL_BYTES);
  const bytes = Buffer.alloc(size);
  let length = 0;
  while (length < size) {
    const read = readSync(fd, bytes, length, size - length, length);
    if (read === 0) break;
    length += read;
  }
  const { records, end } = decodeJournal(bytes.subarray(0, length));
  let at = end;
  ftruncateSync(fd, at);
  return {
    isEmpty: () => records.size === 0,
    of: (key) => records.get(key),
    all: () => records.values(),
    append: (added) => {
      if (added.length === 0) return;
      const text = Buffer.from(added.map(encodeRecord).join(""), "latin1");
      // A write that was cut short by a full disk is written over by the next.
      for (let done = 0; done < text.length; ) done += writeSync(fd, text, done, text.length - done, at + done);
      at += text.length;
      for (const record of added) records.set(record.key, record);
    },
    sync: () => fdatasyncSync(fd),
    close: () => closeSync(fd),
  };
}
