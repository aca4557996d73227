import { hash } from "node:crypto";
import { pathBytes } from "../../contract/transfer/path-text.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import type { PieceBook } from "./piece-book.ts";
import type { Transfer } from "./transfer-record.ts";

export interface HashedEntry {
  readonly entry: TransferEntry;
  /** Of a file its content, of a link its text; absent: it could not be read. */
  readonly sha256: string | undefined;
}

/** Of a comparison: what some of its pieces list, in their order, piece by piece. */
export async function* hashedEntries(
  pieces: Pick<PieceBook, "loadHashes">,
  transfer: Transfer,
  { from, to }: { readonly from: number; readonly to: number },
): AsyncGenerator<HashedEntry> {
  for (let index = from; index < to; index++) {
    const { piece, hashes } = await pieces.loadHashes(transfer, index);
    for (const [at, entry] of piece.entries.entries()) {
      yield { entry, sha256: entry.type === "file" ? hashes.get(at) : hashOfText(entry) };
    }
    // A store in memory answers at once: others have their turn too.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** As the worker that makes it hashes it. */
function hashOfText({ type, target }: TransferEntry): string {
  return hash("sha256", type === "symlink" ? pathBytes(target ?? "") : Buffer.alloc(0), "hex");
}

/** One line of what a root hash is over: of the same tree the same, whoever lists it. */
export function rootLine({ path, type, size, target }: TransferEntry, sha256: string): string {
  return `${JSON.stringify([path, type, size, type === "hardlink" ? (target ?? "") : sha256])}\n`;
}
