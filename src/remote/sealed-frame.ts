import { createCipheriv, createDecipheriv } from "node:crypto";
import { AppError } from "../base/errors.ts";

/** Seals the frames of one direction of one carrier. */
export interface FrameSealer {
  /** No frame more may be sealed with this key. */
  readonly isSpent: boolean;
  /** A frame in pieces, sealed in pieces. */
  seal(pieces: readonly Uint8Array[]): readonly Uint8Array[];
}

/** Opens what the sealer of the other end has made, in its order. */
export interface FrameOpener {
  /** Throws `conflict`: it was changed on its way, or is not the next. Nothing of it is told before all of it is proved. */
  open(pieces: readonly Uint8Array[]): readonly Uint8Array[];
}

const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
export const SEAL_TAG_BYTES = 16;
/** Far more than a session can send, and few enough for AES-GCM: 2^32 frames of 64 KiB are 2^44 blocks. */
const MAX_FRAMES = 2 ** 32;

// Field numbers and wire types of `frame.proto`.
const SEQ_HEAD = [0x08, 0x01] as const;
const SEALED_TAG = [0xc2, 0x01] as const;
/** A frame whose first byte has this bit is of the link. */
const LINK_BIT = 0x80;
const MAX_HEAD_BYTES = SEQ_HEAD.length + SEALED_TAG.length + 4;

/**
 * A key is given to one sealer, once, and each frame takes the next number for its nonce: so none is ever used twice with it. A new
 * carrier has new keys (`handshake-keys.ts`), and what is sent again there is sealed again.
 */
export function createFrameSealer(key: Uint8Array): FrameSealer {
  const nextNonce = createNonces();
  let count = 0;
  return {
    get isSpent() {
      return count >= MAX_FRAMES;
    },
    seal: (pieces) => {
      if (count >= MAX_FRAMES) throw new AppError("internal", "a key has sealed as many frames as it may");
      count += 1;
      let bytes = SEAL_TAG_BYTES;
      for (const piece of pieces) bytes += piece.length;
      const isActivity = ((pieces.find(({ length }) => length > 0)?.[0] ?? LINK_BIT) & LINK_BIT) === 0;
      const head = makeHead(bytes, isActivity);
      const cipher = createCipheriv(CIPHER, key, nextNonce(), { authTagLength: SEAL_TAG_BYTES });
      cipher.setAAD(head);
      const sealed: Uint8Array[] = [head];
      for (const piece of pieces) sealed.push(cipher.update(piece));
      cipher.final();
      sealed.push(cipher.getAuthTag());
      return sealed;
    },
  };
}

export function createFrameOpener(key: Uint8Array): FrameOpener {
  const nextNonce = createNonces();
  return {
    open: (pieces) => {
      const [first, ...more] = splitHead(pieces);
      const body = splitTag(more);
      if (first === undefined || body === undefined) throw changed();
      const decipher = createDecipheriv(CIPHER, key, nextNonce(), { authTagLength: SEAL_TAG_BYTES });
      decipher.setAAD(first);
      decipher.setAuthTag(body.tag);
      const opened: Uint8Array[] = [];
      for (const piece of body.pieces) if (piece.length > 0) opened.push(decipher.update(piece));
      try {
        decipher.final();
      } catch {
        throw changed();
      }
      return opened;
    },
  };
}

function changed(): AppError {
  return new AppError(
    "conflict",
    "what came through the router was changed, left out or repeated on its way: the session is ended",
  );
}

/** 0, 1, 2, … as 12 bytes, the highest first. */
function createNonces(): () => Buffer {
  let next = 0;
  return () => {
    const nonce = Buffer.alloc(NONCE_BYTES);
    nonce.writeUInt32BE(Math.floor(next / 2 ** 32), 4);
    nonce.writeUInt32BE(next % 2 ** 32, 8);
    next += 1;
    return nonce;
  };
}

function makeHead(bytes: number, isActivity: boolean): Buffer {
  const head: number[] = isActivity ? [...SEQ_HEAD, ...SEALED_TAG] : [...SEALED_TAG];
  let rest = bytes;
  for (; rest >= 0x80; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
  head.push(rest);
  return Buffer.from(head);
}

/** The head in one piece, and what follows. Throws `conflict`: it is no sealed frame, or says another length than it has. */
function splitHead(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  const [start, ...more] = pieces;
  if (start === undefined) throw changed();
  if (start.length < MAX_HEAD_BYTES && more.length > 0) return splitHead([Buffer.concat(pieces)]);
  let at = start[0] === SEQ_HEAD[0] && start[1] === SEQ_HEAD[1] ? SEQ_HEAD.length : 0;
  if (start[at] !== SEALED_TAG[0] || start[at + 1] !== SEALED_TAG[1]) throw changed();
  at += SEALED_TAG.length;
  let length = 0;
  for (let scale = 1; ; scale *= 0x80) {
    const byte = start[at++];
    if (byte === undefined || scale > 0x80 ** 3) throw changed();
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
  }
  let total = start.length - at;
  for (const piece of more) total += piece.length;
  if (total !== length) throw changed();
  return [start.subarray(0, at), start.subarray(at), ...more];
}

/** `undefined`: it is too short to have one. */
function splitTag(
  pieces: readonly Uint8Array[],
): { readonly pieces: readonly Uint8Array[]; readonly tag: Uint8Array } | undefined {
  const last = pieces.at(-1);
  if (last === undefined || (last.length < SEAL_TAG_BYTES && pieces.length === 1)) return undefined;
  if (last.length < SEAL_TAG_BYTES) return splitTag([Buffer.concat(pieces)]);
  const at = last.length - SEAL_TAG_BYTES;
  return { pieces: [...pieces.slice(0, -1), last.subarray(0, at)], tag: last.subarray(at) };
}
