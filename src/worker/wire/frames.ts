import { fault } from "../fault.ts";

/**
 * What two workers say to each other, over one connection, whoever dialled: frames of a type (1 byte), a length (4 bytes, big
 * endian) and a body. The dialling side begins with `hello`; then the receiver of the bytes says `items` and `want`, and the sender
 * answers each wanted item with `data`, `same` or `failed`, and all of them with `end`. Then the next `hello` may follow. Meanwhile the
 * receiver says how much of the data it has `taken`, and the sender never is further ahead of that than `WINDOW_BYTES`, or than the
 * `window` of the want; either side says it again, though it is no news, while it holds things up itself.
 */
export const FRAME = {
  /** JSON: `helloSchema`. */
  hello: 1,
  /** JSON: the items of the ticket, in its order. */
  items: 2,
  /** JSON: `wantSchema`. */
  want: 3,
  /** `DataHead`, then bytes. */
  data: 4,
  /** JSON: `sameSchema`: what the receiver has of this item is what the sender has. */
  same: 5,
  /** JSON: `failedSchema`: of one item. */
  failed: 6,
  /** Empty: everything that was wanted has been answered. */
  end: 7,
  /** JSON: `refusalSchema`: of the connection, which then ends. */
  refused: 8,
  /** Of `pack.ts`: many whole short files. */
  pack: 9,
  /** 8 bytes: of `data` that has bytes and of `pack`, heads included, since the connection began. */
  taken: 10,
} as const;

export const FRAME_HEAD_BYTES = 5;
export const DATA_HEAD_BYTES = 4 + 8 + 4 + 1 + 32;
/** Of a file in one frame: it is hashed, sent and verified as one. */
export const PIECE_BYTES = 1024 * 1024;
/** Of many short files in one frame, heads included. */
export const PACK_BYTES = DATA_HEAD_BYTES + PIECE_BYTES;
/** Of zeros that are told of at once: short enough that who reads them is heard of meanwhile. */
export const MAX_ZERO_BYTES = 256 * PIECE_BYTES;
/**
 * Sent and not taken: what a crash of either side costs a connection at the most, and what lies in buffers of the system. Four
 * connections fill 1 Gbit/s over 200 ms with it.
 */
export const WINDOW_BYTES = 6 * 1024 * 1024;
export const TAKEN_BYTES = 8;
const MAX_JSON_BYTES = 16 * 1024 * 1024;

export interface DataHead {
  /** Of the item, in the order of the ticket. */
  readonly index: number;
  /** From the item's begin. */
  readonly at: number;
  /** Of the piece. */
  readonly length: number;
  /** Nothing follows: these are `length` zero bytes, of one piece or of many. */
  readonly isZero: boolean;
  /** What follows is of `block-patch.ts`: the rest is what the receiver has there. */
  readonly isPatch: boolean;
  readonly isLast: boolean;
  /** The mark of `item-hash.ts`, of the last piece. */
  readonly digest: Buffer;
}

const ZERO = 1;
const LAST = 2;
const PATCH = 4;

export function writeFrameHead(into: Buffer, at: number, type: number, bodyBytes: number): void {
  into[at] = type;
  into.writeUInt32BE(bodyBytes, at + 1);
}

export function jsonFrame(type: number, value: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(value));
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + body.length);
  writeFrameHead(frame, 0, type, body.length);
  body.copy(frame, FRAME_HEAD_BYTES);
  return frame;
}

export function takenFrame(bytes: number): Buffer {
  const frame = Buffer.alloc(FRAME_HEAD_BYTES + TAKEN_BYTES);
  writeFrameHead(frame, 0, FRAME.taken, TAKEN_BYTES);
  frame.writeBigUInt64BE(BigInt(bytes), FRAME_HEAD_BYTES);
  return frame;
}

export function emptyFrame(type: number): Buffer {
  const frame = Buffer.alloc(FRAME_HEAD_BYTES);
  writeFrameHead(frame, 0, type, 0);
  return frame;
}

/** Both heads of a data frame; the bytes, as many as the piece has unless given, are the caller's, right behind them. */
export function writeDataHeads(
  into: Buffer,
  at: number,
  head: DataHead,
  bytes: number = head.isZero ? 0 : head.length,
): void {
  writeFrameHead(into, at, FRAME.data, DATA_HEAD_BYTES + bytes);
  const from = at + FRAME_HEAD_BYTES;
  into.writeUInt32BE(head.index, from);
  into.writeBigUInt64BE(BigInt(head.at), from + 4);
  into.writeUInt32BE(head.length, from + 12);
  into[from + 16] = (head.isZero ? ZERO : 0) | (head.isLast ? LAST : 0) | (head.isPatch ? PATCH : 0);
  head.digest.copy(into, from + 17);
}

/** Throws `corrupt` for a body that is none. */
export function readDataHead(body: Buffer): DataHead & { readonly bytes: Buffer } {
  if (body.length < DATA_HEAD_BYTES) throw fault("corrupt", `a data frame of ${body.length} bytes is too short`);
  const flags = body[16] ?? 0;
  const length = body.readUInt32BE(12);
  const bytes = body.subarray(DATA_HEAD_BYTES);
  const isZero = (flags & ZERO) !== 0;
  const isPatch = (flags & PATCH) !== 0;
  const isAsLong = isPatch || bytes.length === (isZero ? 0 : length);
  if (length > (isZero ? MAX_ZERO_BYTES : PIECE_BYTES) || !isAsLong || (isZero && isPatch)) {
    throw fault("corrupt", `a data frame says ${length} bytes and has ${bytes.length}`);
  }
  return {
    index: body.readUInt32BE(0),
    at: Number(body.readBigUInt64BE(4)),
    length,
    isZero,
    isPatch,
    isLast: (flags & LAST) !== 0,
    digest: body.subarray(17, 49),
    bytes,
  };
}

const MOST_BYTES = new Map<number, number>([
  [FRAME.data, DATA_HEAD_BYTES + PIECE_BYTES],
  [FRAME.pack, PACK_BYTES],
  [FRAME.end, 0],
  [FRAME.taken, TAKEN_BYTES],
]);

/** Throws `corrupt` for what no peer of ours sends. */
export function requireFrameHead(type: number, bodyBytes: number): void {
  const most = MOST_BYTES.get(type) ?? MAX_JSON_BYTES;
  if (type < FRAME.hello || type > FRAME.taken || bodyBytes > most) {
    throw fault("corrupt", `the peer sent a frame of type ${type} and ${bodyBytes} bytes: it is no worker of ours`);
  }
}
