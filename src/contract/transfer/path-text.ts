import { AppError } from "../../base/errors.ts";

/**
 * Names of files are bytes, and JSON holds text. UTF-8 stays as it is, except `%`; it and every byte that is no part of
 * well-formed UTF-8 are written `%XX` with capital digits. So each path has one text, and each text one path.
 */
export function pathText(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const whole = buffer.toString("utf8");
  if (!whole.includes("�") && !whole.includes("%")) return whole;
  let text = "";
  for (let at = 0; at < buffer.length; ) {
    const length = wellFormedAt(buffer, at);
    const piece = buffer.subarray(at, at + Math.max(1, length));
    text += length === 0 || piece[0] === 0x25 ? escaped(piece[0] ?? 0) : piece.toString("utf8");
    at += piece.length;
  }
  return text;
}

/** Throws `invalid` for `%` without two hexadecimal digits, and for text that no bytes stand for. */
export function pathBytes(text: string): Buffer {
  if (!text.isWellFormed()) throw new AppError("invalid", "path: given half of a surrogate pair; allowed: text");
  if (!text.includes("%")) return Buffer.from(text, "utf8");
  const pieces: Buffer[] = [];
  for (let at = 0; at < text.length; ) {
    const next = text.indexOf("%", at);
    if (next === -1) {
      pieces.push(Buffer.from(text.slice(at), "utf8"));
      break;
    }
    const digits = text.slice(next + 1, next + 3);
    if (!/^[0-9A-Fa-f]{2}$/.test(digits)) {
      throw new AppError(
        "invalid",
        `path: given % before ${JSON.stringify(digits)}; allowed: %XX, and %25 for % itself`,
      );
    }
    pieces.push(Buffer.from(text.slice(at, next), "utf8"), Buffer.from(digits, "hex"));
    at = next + 3;
  }
  return Buffer.concat(pieces);
}

/** How many bytes from `at` on are one well-formed character; 0: none are. Unicode, table 3-7. */
function wellFormedAt(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  const length =
    first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (length === 0) return 0;
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  for (let index = 1; index < length; index++) {
    const byte = bytes[at + index] ?? 0;
    const [low, high] = index === 1 ? [least, most] : [0x80, 0xbf];
    if (byte < low || byte > high) return 0;
  }
  return length;
}

function escaped(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}
