import { DatabaseSync } from "node:sqlite";

const AT_ONCE = 500;

/**
 * What is copied or restored begins a life of its own: a cursor of another life must never be taken for one of it. In small steps,
 * between which others may have their turn; at the end there is one whole file, without companions, that is not synced yet.
 */
export function* renewEpochs(path: string, epoch: string): Generator<void> {
  const copy = new DatabaseSync(path);
  try {
    // A copy that breaks off is thrown away: nothing of it has to be undone.
    copy.exec("PRAGMA journal_mode = DELETE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
    const idsAfter = copy.prepare("SELECT id FROM document WHERE collection = ? AND id > ? ORDER BY id LIMIT ?");
    const renew = copy.prepare(
      "UPDATE document SET body = json_set(body, '$.epoch', ?) WHERE collection = ? AND id > ? AND id <= ?",
    );
    for (const collection of ["expected", "store-epoch"]) {
      for (let after = ""; ; ) {
        const last = idsAfter.all(collection, after, AT_ONCE).at(-1);
        if (last === undefined) break;
        const upTo = String(last["id"]);
        renew.run(epoch, collection, after, upTo);
        after = upTo;
        yield;
      }
    }
  } finally {
    copy.close();
  }
}
