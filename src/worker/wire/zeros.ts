import { PIECE_BYTES } from "./frames.ts";

export const ZEROS = Buffer.alloc(PIECE_BYTES);

/** Stops at the first byte that is not. At most a piece. */
export function isZero(bytes: Buffer): boolean {
  return bytes.length > 0 && bytes[0] === 0 && bytes.equals(ZEROS.subarray(0, bytes.length));
}
