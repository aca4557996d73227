import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";

/** Entries are much alike: packed they take a tenth of their room, in a store that may keep all of it in memory. */
export function packEntries(entries: readonly TransferEntry[]): string {
  return zstdCompressSync(JSON.stringify(entries)).toString("base64");
}

/** JSON: whoever reads it parses it. */
export function unpackEntries(packed: string): unknown {
  return JSON.parse(zstdDecompressSync(Buffer.from(packed, "base64")).toString("utf8"));
}
