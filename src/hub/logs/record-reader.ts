import { type LogRecord, logRecordSchema } from "../../contract/fleet/log-line.ts";

/** Cuts an upload into records, whatever its chunks are. What is no record is a gap with its size: nothing is lost unseen. */
export interface RecordReader {
  push(chunk: Buffer): LogRecord[];
  /** What the end of the upload leaves. */
  end(): LogRecord[];
  heldBytes(): number;
}

/** An agent cuts longer lines itself. */
export const MAX_RECORD_BYTES = 64 * 1024;
const LF = 0x0a;

export function createRecordReader(): RecordReader {
  let held: Buffer[] = [];
  let heldBytes = 0;
  /** Bytes of a record that is too long, while it goes on. */
  let skippedBytes = 0;

  const hold = (part: Buffer) => {
    if (skippedBytes > 0 || heldBytes + part.length > MAX_RECORD_BYTES) {
      skippedBytes += heldBytes + part.length;
      held = [];
      heldBytes = 0;
      return;
    }
    if (part.length === 0) return;
    held.push(Buffer.from(part));
    heldBytes += part.length;
  };

  const complete = (): LogRecord[] => {
    const bytes = Buffer.concat(held);
    const skipped = skippedBytes;
    held = [];
    heldBytes = 0;
    skippedBytes = 0;
    if (skipped > 0) return [{ type: "gap", bytes: skipped, reason: "a record was too long" }];
    const text = bytes.toString("utf8").trim();
    return text === "" ? [] : [parseRecord(text, bytes.length)];
  };

  return {
    heldBytes: () => heldBytes,
    push: (chunk) => {
      const records: LogRecord[] = [];
      let from = 0;
      for (let at = chunk.indexOf(LF); at >= 0; at = chunk.indexOf(LF, from)) {
        hold(chunk.subarray(from, at));
        records.push(...complete());
        from = at + 1;
      }
      hold(chunk.subarray(from));
      return records;
    },
    end: complete,
  };
}

function parseRecord(text: string, bytes: number): LogRecord {
  const unreadable: LogRecord = { type: "gap", lines: 1, bytes, reason: "a record could not be read" };
  try {
    const parsed = logRecordSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : unreadable;
  } catch {
    return unreadable;
  }
}
