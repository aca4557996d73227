import { createHash } from "node:crypto";
import { comparePathTexts } from "../../contract/transfer/path-order.ts";
import { type HashedEntry, hashedEntries, rootLine } from "./hashed-entries.ts";
import type { PieceBook } from "./piece-book.ts";
import type { Transfer } from "./transfer-record.ts";

/**
 * SHA-256 over what was copied, in the order of a walk: what a later walk has listed again stands where it belongs and once, so that
 * whoever lists the copy comes to the same. Holds one entry of each walk.
 */
export async function rootHashOf(pieces: Pick<PieceBook, "loadHashes">, transfer: Transfer): Promise<string> {
  const { list } = transfer;
  const starts = [0, ...(list.walks ?? [])];
  const walks = starts.map((from, index) => {
    const entries = hashedEntries(pieces, transfer, { from, to: starts[index + 1] ?? list.pieces });
    return { entries, at: undefined as HashedEntry | undefined };
  });
  /** What could not be copied is listed again, or is not there any more. */
  const advance = async (walk: (typeof walks)[number]) => {
    do {
      const { value, done } = await walk.entries.next();
      walk.at = done === true ? undefined : value;
    } while (walk.at !== undefined && walk.at.sha256 === undefined);
  };
  for (const walk of walks) await advance(walk);
  const hash = createHash("sha256");
  for (;;) {
    let first: HashedEntry | undefined;
    for (const { at } of walks) {
      // Of the same path the last walk counts.
      if (at !== undefined && (first === undefined || comparePathTexts(at.entry.path, first.entry.path) <= 0))
        first = at;
    }
    if (first?.sha256 === undefined) return hash.digest("hex");
    hash.update(rootLine(first.entry, first.sha256));
    for (const walk of walks) if (walk.at?.entry.path === first.entry.path) await advance(walk);
  }
}
