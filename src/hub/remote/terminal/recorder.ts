import type { WriteStream } from "node:fs";
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
  readonly tokenId: string;
  readonly cols: number;
  readonly rows: number;
}

export interface RecorderDeps {
  readonly clock: Clock;
  readonly maxBytes: number;
  /** False: there is no room for more, beside what other recordings take. */
  readonly onWritten: (bytes: number) => boolean;
  /** `isEmpty`: nothing was shown. */
  readonly onClosed: (isEmpty: boolean) => void;
}

export function createRecorder(stream: WriteStream, facts: RecordingFacts, deps: RecorderDeps): Recorder {
  const { session, box, operator, tokenId, cols, rows } = facts;
  const { clock, maxBytes, onWritten, onClosed } = deps;
  const decoder = new StringDecoder("utf8");
  const startMs = clock.monotonicMs();
  let bytes = 0;
  let isClosed = false;
  let failed: ((error: AppError) => void) | undefined;
  let failure: AppError | undefined;
  let size = "";
  let isEmpty = true;

  const fail = (error: AppError) => {
    if (failure !== undefined || isClosed) return;
    failure = error;
    failed?.(error);
  };
  const write = (line: unknown): boolean => {
    if (isClosed || failure !== undefined) return true;
    const text = `${JSON.stringify(line)}\n`;
    const length = Buffer.byteLength(text);
    if (bytes + length > maxBytes) {
      fail(new AppError("too-large", `its recording is full (${maxBytes} bytes); open another`));
      return true;
    }
    bytes += length;
    const hasRoom = stream.write(text);
    if (!onWritten(length)) fail(new AppError("exhausted", "the recordings that go on leave no room for this one"));
    return hasRoom;
  };
  const event = (kind: "o" | "r", data: string) => {
    if (kind === "o") isEmpty = false;
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
    sluice: { session, box, operator, tokenId },
  });
  return {
    output: (given) => {
      const text = decoder.write(Buffer.from(given.buffer, given.byteOffset, given.byteLength));
      return text === "" || event("o", text);
    },
    onRoom: (call) => void stream.once("drain", call),
    get isBusy() {
      return stream.writableNeedDrain;
    },
    resize: (given) => {
      const text = `${given.cols}x${given.rows}`;
      if (text === (size === "" ? `${cols}x${rows}` : size)) return;
      size = text;
      event("r", text);
    },
    onFailed: (call) => {
      failed = call;
      if (failure !== undefined) call(failure);
    },
    close: () => {
      if (isClosed) return;
      const rest = decoder.end();
      if (rest !== "") event("o", rest);
      isClosed = true;
      stream.end();
      onClosed(isEmpty);
    },
  };
}
