import { isUtf8 } from "node:buffer";

/**
 * The text that a session's log holds of a line's bytes, and from which they can be had again: UTF-8 as it is, and `\xNN` (two small
 * hexadecimal digits) for each byte that is no UTF-8, that is part of a control character other than tab or of U+2028 and U+2029, or that
 * is a backslash before what looks like such an escape. So no line is dropped for its bytes, and none can forge another or drive a terminal.
 */
export function toLineText(bytes: Buffer, redact: (text: string) => string): string {
  return escapeText(redact(decode(bytes)));
}

/** A secret that a cut runs through is no longer recognised. */
export const LONGEST_SECRET_BYTES = 1024;
const CUT_STEP_BYTES = 32;

/**
 * Where to cut a line of which `held` is the beginning: near `maxBytes`, in no character, and in no secret. `held` goes on beyond `maxBytes`
 * for as long as the longest secret.
 */
export function cutOfLine(held: Buffer, maxBytes: number, redact: (text: string) => string): number {
  const whole = decode(held);
  const redacted = redact(whole);
  const first = characterStart(held, maxBytes);
  if (redacted === whole) return first;
  for (let at = maxBytes; at > CUT_STEP_BYTES; at -= CUT_STEP_BYTES) {
    const cut = characterStart(held, at);
    if (redact(decode(held.subarray(0, cut))) + redact(decode(held.subarray(cut))) === redacted) return cut;
  }
  return first;
}

/** The start of the character that goes on beyond `at`; `at` itself where none does. */
function characterStart(bytes: Buffer, at: number): number {
  for (let start = at - 1; start >= Math.max(0, at - 3); start--) {
    const byte = bytes[start] ?? 0;
    if (byte < 0x80) break;
    if (byte >= 0xc0) return start + lengthOfCharacter(byte) > at ? start : at;
  }
  return at;
}

const FIRST_SURROGATE = 0xdc00;

/** Each byte that is no UTF-8 becomes a lone surrogate, which no UTF-8 can hold: one string, in which secrets can be searched. */
function decode(bytes: Buffer): string {
  // A piece may end within a character: that alone makes it no text that needs a closer look.
  const whole = characterStart(bytes, bytes.length);
  if (isUtf8(bytes.subarray(0, whole))) {
    const rest = [...bytes.subarray(whole)].map((byte) => String.fromCharCode(FIRST_SURROGATE + byte));
    return `${bytes.toString("utf8", 0, whole)}${rest.join("")}`;
  }
  const pieces: string[] = [];
  let validFrom = 0;
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at] ?? 0;
    const character = characterAt(bytes, at);
    if (byte < 0x80 || (character.length > 1 && isUtf8(character))) {
      at += character.length;
      continue;
    }
    if (at > validFrom) pieces.push(bytes.toString("utf8", validFrom, at));
    pieces.push(String.fromCharCode(FIRST_SURROGATE + byte));
    at += 1;
    validFrom = at;
  }
  pieces.push(bytes.toString("utf8", validFrom));
  return pieces.join("");
}

function characterAt(bytes: Buffer, at: number): Buffer {
  return bytes.subarray(at, at + lengthOfCharacter(bytes[at] ?? 0));
}

function lengthOfCharacter(lead: number): number {
  if (lead >= 0xf0) return 4;
  if (lead >= 0xe0) return 3;
  return lead >= 0xc0 ? 2 : 1;
}

const ESCAPED = /\\(?=x[0-9a-f]{2})|(?!\t)\p{Cc}|[\u2028\u2029]|[\u{dc80}-\u{dcff}]/gu;

/** Most lines have nothing but these. */
const PLAIN = /^[\t !-[\]-~]*$/;

function escapeText(text: string): string {
  if (PLAIN.test(text)) return text;
  return text.replace(ESCAPED, (character) => {
    const code = character.charCodeAt(0);
    const bytes = code >= FIRST_SURROGATE && code <= 0xdcff ? [code - FIRST_SURROGATE] : Buffer.from(character, "utf8");
    return [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  });
}
