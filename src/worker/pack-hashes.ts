import type { CopyItem } from "../contract/transfer/assignment.ts";
import { packHashes } from "../contract/transfer/packed-hashes.ts";
import type { ResultItem } from "../contract/transfer/transfer-result.ts";

/** What is done of a lease, as the hash of each of its items in their order. `undefined`: they are not told apart by their paths. */
export function packItemHashes(items: readonly CopyItem[], done: readonly ResultItem[]): string | undefined {
  const places = new Map(items.map(({ entry }, index) => [entry.path, index]));
  if (places.size !== items.length) return undefined;
  const hashes = items.map(() => "");
  for (const { path, offset, length, sha256 } of done) {
    const index = places.get(path) ?? -1;
    const item = items[index];
    if (item?.offset !== offset || item.length !== length) return undefined;
    hashes[index] = sha256;
  }
  return packHashes(hashes);
}
