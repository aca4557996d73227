import type { WriteStream } from "node:fs";
import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import type { Clock } from "../../../base/clock.ts";
import { AppError, messageOf } from "../../../base/errors.ts";

/** Writes down what a terminal shows, as asciicast v2 (one JSON line for each piece). What is typed is left out: it may be a password. */
export interface Recorder {
  /** False: the disk is slow, and nothing more is to be shown before `onRoom`. */
  output(bytes: Uint8Array): boolean;
  onRoom(call: () => void): void;
  readonly isBusy: boolean;
  resize(size: { readonly cols: number; readonly rows: number }): void;
  /** It can be written no more: what is not recorded must not be shown. */
  onFailed(call: (error: AppError) => void): void;
  close(): void;
}

export interface RecordingFacts {
  readonly session: string;
  readonly box: string;
  readonly operator: string;
  readonly cols: number;
  readonly rows: number;
}

export const RECORDING_SUFFIX = ".cast";
export const RECORDING_LIMITS = { fileBytes: 64 * 1024 * 1024, totalBytes: 1024 * 1024 * 1024 } as const;

/** `storage`: it cannot be written. The oldest recordings make room. */
export async function createRecorder(
  directory: string,
  facts: RecordingFacts,
  { clock, limits = RECORDING_LIMITS }: { readonly clock: Clock; readonly limits?: typeof RECORDING_LIMITS },
): Promise<Recorder> {
  const { session, box, operator, cols, rows } = facts;
  let stream: WriteStream;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await makeRoom(directory, limits.totalBytes - limits.fileBytes);
    const file = await open(join(directory, `${session}${RECORDING_SUFFIX}`), "wx", 0o600);
    stream = file.createWriteStream();
  } catch (thrown) {
    throw new AppError("storage", `the recording cannot be written: ${messageOf(thrown)}`, { cause: thrown });
  }
  const decoder = new StringDecoder("utf8");
  const startMs = clock.monotonicMs();
  let bytes = 0;
  let isClosed = false;
  let failed: ((error: AppError) => void) | undefined;
  let failure: AppError | undefined;

  const fail = (error: AppError) => {
    if (failure !== undefined || isClosed) return;
    failure = error;
    failed?.(error);
  };
  const write = (line: unknown): boolean => {
    if (isClosed || failure !== undefined) return true;
    const text = `${JSON.stringify(line)}\n`;
    bytes += Buffer.byteLength(text);
    if (bytes > limits.fileBytes) {
      fail(new AppError("too-large", `its recording is full (${limits.fileBytes} bytes); open another`));
      return true;
    }
    return stream.write(text);
  };
  const event = (kind: "o" | "r", data: string) => {
    return write([Math.round(clock.monotonicMs() - startMs) / 1000, kind, data]);
  };
  stream.on("error", (thrown) =>
    fail(new AppError("storage", `the recording cannot be written: ${messageOf(thrown)}`)),
  );
  write({
    version: 2,
    width: cols,
    height: rows,
    timestamp: Math.floor(clock.wallMs() / 1000),
    title: `${operator} on ${box}`,
    sluice: { session, box, operator },
  });
  return {
    output: (given) => {
      const text = decoder.write(Buffer.from(given));
      return text === "" || event("o", text);
    },
    onRoom: (call) => void stream.once("drain", call),
    get isBusy() {
      return stream.writableNeedDrain;
    },
    resize: (size) => void event("r", `${size.cols}x${size.rows}`),
    onFailed: (call) => {
      failed = call;
      if (failure !== undefined) call(failure);
    },
    close: () => {
      if (isClosed) return;
      isClosed = true;
      stream.end();
    },
  };
}

/** Names begin with the time, the newest first. */
async function makeRoom(directory: string, leftBytes: number): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(RECORDING_SUFFIX)).sort();
  let total = 0;
  for (const name of names) {
    const path = join(directory, name);
    const size = (await stat(path).catch(() => undefined))?.size ?? 0;
    total += size;
    if (total > leftBytes) await rm(path, { force: true });
  }
}
