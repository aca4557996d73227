import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { z } from "zod";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";

/** Entries are much alike: packed they take a tenth of their room, in a store that may keep all of it in memory. */
export function packEntries(entries: readonly TransferEntry[]): string {
  return zstdCompressSync(JSON.stringify(entries)).toString("base64");
}

/** JSON: whoever reads it parses it. */
export function unpackEntries(packed: string): unknown {
  return JSON.parse(zstdDecompressSync(Buffer.from(packed, "base64")).toString("utf8"));
}

const HASH_BYTES = 32;
const NONE = Buffer.alloc(HASH_BYTES);
const hexSchema = z.string().regex(/^(?:[0-9a-f]{64})?$/);

/** Each is SHA-256 in lower-case hexadecimal, or "". */
export function packHashes(hashes: readonly string[]): string {
  const bytes = hashes.map((hash) => (hexSchema.parse(hash) === "" ? NONE : Buffer.from(hash, "hex")));
  return Buffer.concat(bytes).toString("base64");
}

export function unpackHashes(packed: string): readonly string[] {
  const bytes = Buffer.from(packed, "base64");
  const hashes: string[] = [];
  for (let at = 0; at + HASH_BYTES <= bytes.length; at += HASH_BYTES) {
    const hash = bytes.subarray(at, at + HASH_BYTES);
    hashes.push(hash.equals(NONE) ? "" : hash.toString("hex"));
  }
  return hashes;
}
