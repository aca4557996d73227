import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AppError } from "../base/errors.ts";
import { type Frame, FrameSchema, Pipe } from "../contract/proto/sluice/router/v1/frame_pb.js";

/** `in`: towards the command or the target. */
export type PipeName = "in" | "out" | "err";
export const PIPE_NAMES: readonly PipeName[] = ["in", "out", "err"];
/** Of one `data` frame (`frame.proto`). */
export const MAX_DATA_BYTES = 65_536;

/** Bytes of a pipe: the one frame that is made and read by hand, because almost all frames are of this kind. */
export interface DataFrame {
  readonly seq: number;
  readonly channel: number;
  readonly pipe: PipeName;
  /** Of all pieces together. */
  readonly length: number;
  /** As they came: views of what was received. */
  readonly pieces: readonly Uint8Array[];
}

export type FrameBody = Frame["body"];
/** Anything but bytes of a pipe. */
export interface ControlFrame {
  /** 0: it has none (link frames, datagrams). */
  readonly seq: number;
  readonly channel: number;
  readonly body: FrameBody;
}

const PIPES = { in: Pipe.IN, out: Pipe.OUT, err: Pipe.ERR } as const;
const NAMES: Readonly<Record<number, PipeName>> = { [Pipe.IN]: "in", [Pipe.OUT]: "out", [Pipe.ERR]: "err" };

export function pipeOf(name: PipeName): Pipe {
  return PIPES[name];
}

/** Throws `invalid`. */
export function pipeNameOf(pipe: Pipe): PipeName {
  const name = NAMES[pipe];
  if (name === undefined)
    throw new AppError("invalid", `pipe: given ${pipe}; allowed: ${Object.keys(NAMES).join(", ")}`);
  return name;
}

// Field numbers and wire types of `frame.proto`, as they stand before their values.
const SEQ_TAG = 0x08;
const CHANNEL_TAG = 0x10;
const DATA_TAG = 0x1a;
const PIPE_TAG = 0x08;
const BYTES_TAG = 0x12;

/** The frame in two pieces; the bytes themselves are not copied. */
export function encodeData({
  seq,
  channel,
  pipe,
  bytes,
}: Pick<DataFrame, "seq" | "channel" | "pipe"> & { readonly bytes: Uint8Array }): readonly [Uint8Array, Uint8Array] {
  const lengthBytes = varintBytes(bytes.length);
  const bodyBytes = 2 + 1 + lengthBytes + bytes.length;
  const head = Buffer.allocUnsafe(
    1 + varintBytes(seq) + 1 + varintBytes(channel) + 1 + varintBytes(bodyBytes) + 3 + lengthBytes,
  );
  let at = 0;
  head[at++] = SEQ_TAG;
  at = writeVarint(head, seq, at);
  head[at++] = CHANNEL_TAG;
  at = writeVarint(head, channel, at);
  head[at++] = DATA_TAG;
  at = writeVarint(head, bodyBytes, at);
  head[at++] = PIPE_TAG;
  head[at++] = PIPES[pipe];
  head[at++] = BYTES_TAG;
  writeVarint(head, bytes.length, at);
  return [head, bytes];
}

export function encodeControl({ seq, channel, body }: ControlFrame): Uint8Array {
  return toBinary(FrameSchema, create(FrameSchema, { seq: BigInt(seq), channel, body }));
}

/**
 * A frame, out of the pieces in which it came. Throws `invalid`: what was sent is no frame of the contract. The bytes of a data
 * frame are not copied.
 */
export function decodeFrame(pieces: readonly Uint8Array[]): DataFrame | ControlFrame {
  const [first] = pieces;
  return decodeData(pieces) ?? decodeAny(first !== undefined && pieces.length === 1 ? first : Buffer.concat(pieces));
}

/** Only the form that `encodeData` writes, its head in one piece; every other encoding of the same frame is for the library. */
function decodeData(pieces: readonly Uint8Array[]): DataFrame | undefined {
  const [bytes, ...more] = pieces;
  if (bytes === undefined) return undefined;
  let total = bytes.length;
  for (const piece of more) total += piece.length;
  const cursor = { at: 0 };
  if (bytes[cursor.at++] !== SEQ_TAG) return undefined;
  const seq = readVarint(bytes, cursor);
  if (bytes[cursor.at++] !== CHANNEL_TAG) return undefined;
  const channel = readVarint(bytes, cursor);
  if (bytes[cursor.at++] !== DATA_TAG) return undefined;
  const bodyBytes = readVarint(bytes, cursor);
  if (cursor.at + bodyBytes !== total || bytes[cursor.at] !== PIPE_TAG) return undefined;
  const pipe = NAMES[bytes[cursor.at + 1] ?? 0];
  if (pipe === undefined || bytes[cursor.at + 2] !== BYTES_TAG) return undefined;
  cursor.at += 3;
  const length = readVarint(bytes, cursor);
  const isWhole = cursor.at + length === total && length > 0 && length <= MAX_DATA_BYTES;
  if (!isWhole || !isId(seq, channel)) return undefined;
  const rest = bytes.subarray(cursor.at);
  return { seq, channel, pipe, length, pieces: rest.length === 0 ? more : [rest, ...more] };
}

function decodeAny(bytes: Uint8Array): DataFrame | ControlFrame {
  let frame: Frame;
  try {
    frame = fromBinary(FrameSchema, bytes);
  } catch (thrown) {
    throw new AppError("invalid", "a frame cannot be decoded", { cause: thrown });
  }
  const { channel, body } = frame;
  const seq = Number(frame.seq);
  if (!Number.isSafeInteger(seq)) throw new AppError("invalid", `seq: given ${frame.seq}; allowed: up to 2^53`);
  if (body.case !== "data") return { seq, channel, body };
  const { pipe, bytes: data } = body.value;
  if (data.length === 0 || data.length > MAX_DATA_BYTES) {
    throw new AppError("invalid", `data: given ${data.length} bytes; allowed: 1 to ${MAX_DATA_BYTES}`);
  }
  return { seq, channel, pipe: pipeNameOf(pipe), length: data.length, pieces: [data] };
}

function isId(seq: number, channel: number): boolean {
  return Number.isSafeInteger(seq) && seq > 0 && channel <= 0xffff_ffff;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes += 1;
  return bytes;
}

function writeVarint(target: Uint8Array, value: number, at: number): number {
  let rest = value;
  let to = at;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[to++] = (rest % 0x80) | 0x80;
  target[to++] = rest;
  return to;
}

/** What has no end gives NaN, which is no id and no length of anything. */
function readVarint(bytes: Uint8Array, cursor: { at: number }): number {
  let value = 0;
  for (let scale = 1; scale <= 2 ** 49; scale *= 0x80) {
    const byte = bytes[cursor.at++];
    if (byte === undefined) return Number.NaN;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
  }
  return Number.NaN;
}
