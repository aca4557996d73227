import type { Clock } from "../../../base/clock.ts";
import type { TokenBucket } from "../../../base/token-bucket.ts";
import { OUTPUT_NAMES, type OutputName } from "../../../contract/fleet/log-line.ts";
import type { FollowedOutput } from "./followed-output.ts";
import { toLineText } from "./line-text.ts";
import type { OutputPosition, OutputPositions } from "./output-cursor.ts";
import { createRawFile, type RawFile } from "./raw-file.ts";
import type { SessionWriter } from "./session-writer.ts";

export interface FollowFilesOptions {
  readonly logPath: string;
  readonly paths: Readonly<Record<OutputName, string>>;
  readonly tailLines: number;
}

export interface FollowFilesDeps {
  readonly clock: Clock;
  readonly writer: SessionWriter;
  /** Bytes that the log takes. */
  readonly allowance: TokenBucket;
  readonly redact: (text: string) => string;
  /** Lent to one reading at a time. */
  readonly buffer: Buffer;
  /** Gives the first `bytes` of a file back to the file system. False: that cannot be done here. */
  readonly freeStart: (path: string, bytes: number) => Promise<boolean>;
}

interface Followed {
  readonly output: OutputName;
  readonly file: RawFile;
  offset: number;
  freedBytes: number;
}

/** A batch is at most this and what one line holds: memory, and what a successor may have to take back. */
const BATCH_BYTES = 262_144;
/** Of what is too much the end is kept: it says most about why a session ends. */
const KEPT_END_BYTES = 65_536;
const FREE_EVERY_BYTES = 262_144;
const PEEK_BYTES = 8192;
const UNKNOWN_PLACE = "how far it was read is not known any more, so lines may be missing or twice";
const TOO_FAST = "more came than the log takes";

/** Carries what a session of the platform `process` writes into its two files to its log. */
export function createFilesFollower(options: FollowFilesOptions, deps: FollowFilesDeps): FollowedOutput {
  const { writer, allowance, clock, buffer } = deps;
  const followed = OUTPUT_NAMES.map(
    (output): Followed => ({ output, file: createRawFile(options.paths[output]), offset: 0, freedBytes: 0 }),
  );
  // Opened at once: what ended a moment after it began may be removed before the first lap.
  for (const { file } of followed) file.size();
  let isOpen = false;
  let failure: string | undefined;

  const consumed = ({ output, offset }: Followed) => offset - writer.heldBytes(output);
  const positions = (): OutputPositions => {
    const found: Partial<Record<OutputName, OutputPosition>> = {};
    for (const one of followed) {
      found[one.output] = {
        from: String(one.file.inode()),
        entries: 0,
        bytes: consumed(one),
        isAfterReturn: writer.isAfterReturn(one.output),
      };
    }
    return found;
  };

  const open = async () => {
    const cursor = await writer.open();
    isOpen = true;
    for (const one of followed) {
      const position = typeof cursor === "string" ? undefined : cursor.positions[one.output];
      one.offset = position?.from === String(one.file.inode()) ? position.bytes : one.file.dataStart();
      one.freedBytes = one.offset;
      // It may begin within a line, and within a secret.
      if (one.offset > 0 && position === undefined) writer.lose(one.output, 0, UNKNOWN_PLACE);
    }
    if (cursor === "bad") writer.tell({ reason: UNKNOWN_PLACE });
    // From here on a successor knows what it may have to take back.
    if (typeof cursor === "string") await writer.commit(positions());
  };

  /** False when there is no more, or no more of it is let through now. */
  const readSome = (one: Followed, isLast: boolean): boolean => {
    const size = one.file.size();
    if (size === undefined || size === one.offset) return false;
    if (size < one.offset) one.offset = 0;
    const unread = size - one.offset;
    const room = allowance.left(clock.monotonicMs());
    if (unread > room) {
      const tooMany = unread - room - KEPT_END_BYTES;
      if (room < buffer.length && !isLast) {
        if (tooMany <= 0) return false;
        one.offset += tooMany;
        writer.lose(one.output, tooMany, TOO_FAST);
        return false;
      }
      if (room < buffer.length && tooMany > 0) {
        one.offset += tooMany;
        writer.lose(one.output, tooMany, TOO_FAST);
      }
    }
    const count = one.file.read(buffer, one.offset);
    one.offset += count;
    allowance.spend(count);
    writer.take(one.output, buffer.subarray(0, count), clock.wallMs());
    return count > 0;
  };

  const readBatch = (isLast: boolean): boolean => {
    let hasMore = false;
    for (const one of followed) {
      const from = one.offset;
      while (one.offset - from < BATCH_BYTES && readSome(one, isLast)) hasMore = true;
    }
    return hasMore;
  };

  const free = async () => {
    for (const one of followed) {
      const bytes = consumed(one);
      if (bytes - one.freedBytes < FREE_EVERY_BYTES) continue;
      const isFreed = await deps.freeStart(one.file.path, bytes);
      one.freedBytes = bytes;
      if (isFreed || bytes !== one.file.size()) continue;
      // What is written in the microseconds between is lost: only where nothing better can be had.
      one.file.cutOff();
      one.offset = 0;
      one.freedBytes = 0;
      await writer.commit(positions());
    }
  };

  const guarded = async (work: () => Promise<void>) => {
    try {
      if (!isOpen) await open();
      await work();
      failure = undefined;
    } catch (thrown) {
      failure = thrown instanceof Error ? thrown.message : String(thrown);
    }
  };
  const takeOver = async (isLast: boolean) => {
    for (;;) {
      const before = followed.map(({ offset }) => offset).join();
      const hasMore = readBatch(isLast);
      if (before === followed.map(({ offset }) => offset).join()) break;
      await writer.commit(positions());
      if (!hasMore) break;
    }
    await free();
  };
  const letGo = () => {
    writer.close();
    for (const { file } of followed) file.close();
  };

  const peek = (one: Followed): string[] => {
    const size = one.file.size() ?? 0;
    const start = Math.max(consumed(one), size - PEEK_BYTES);
    if (size <= start) return [];
    const bytes = Buffer.alloc(size - start);
    const lines = bytes
      .subarray(0, one.file.read(bytes, start))
      .toString("latin1")
      .split(/[\r\n]+/);
    // The beginning of a line, and perhaps of a secret, is missing.
    if (start > consumed(one)) lines.shift();
    return lines.filter(Boolean).map((line) => toLineText(Buffer.from(line, "latin1"), deps.redact));
  };

  return {
    logPath: options.logPath,
    lap: () => guarded(() => takeOver(false)),
    finish: async () => {
      await guarded(async () => {
        await takeOver(true);
        writer.endLines();
        if (writer.hasBatch()) await writer.commit(positions());
      });
      letGo();
    },
    close: async () => letGo(),
    tail: () => {
      const unread = isOpen ? followed.flatMap(peek) : [];
      return [...writer.tail(), ...unread].slice(-options.tailLines);
    },
    lostBytes: writer.lostBytes,
    failure: () => writer.failure() ?? failure,
  };
}
