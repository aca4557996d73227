import { DatabaseSync } from "node:sqlite";

/**
 * What is copied or restored begins a life of its own: a cursor of another life must never be taken for one of it. Leaves one
 * whole file, without companions.
 */
export function renewEpochs(path: string, epoch: string): void {
  const copy = new DatabaseSync(path);
  try {
    copy.exec("PRAGMA journal_mode = DELETE");
    copy
      .prepare(
        "UPDATE document SET body = json_set(body, '$.epoch', ?) WHERE collection IN ('expected', 'store-epoch')",
      )
      .run(epoch);
  } finally {
    copy.close();
  }
}
