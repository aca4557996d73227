import { AppError } from "../../base/errors.ts";

const HASH_BYTES = 32;
const NONE = "0".repeat(2 * HASH_BYTES);
const HASH = /^(?:[0-9a-f]{64})?$/;

/** One after the other, 32 bytes each, in base64. Each is SHA-256 in lower-case hexadecimal, or "" for none. Throws `invalid`. */
export function packHashes(hashes: readonly string[]): string {
  let digits = "";
  for (const hash of hashes) {
    if (!HASH.test(hash)) {
      throw new AppError("invalid", `hash: given ${JSON.stringify(hash)}; allowed: 64 hexadecimal digits, or none`);
    }
    digits += hash === "" ? NONE : hash;
  }
  return Buffer.from(digits, "hex").toString("base64");
}

export function unpackHashes(packed: string): readonly string[] {
  const digits = Buffer.from(packed, "base64").toString("hex");
  const hashes: string[] = [];
  for (let at = 0; at + NONE.length <= digits.length; at += NONE.length) {
    const hash = digits.slice(at, at + NONE.length);
    hashes.push(hash === NONE ? "" : hash);
  }
  return hashes;
}
