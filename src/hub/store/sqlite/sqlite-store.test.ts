import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeStore } from "../store.contract.ts";
import { createSqliteStore } from "./sqlite-store.ts";

describeStore("a store in an SQLite file", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-store-"));
  const store = createSqliteStore({ path: join(directory, "hub.db") }, { newId: randomUUID });
  return {
    store,
    other: store,
    close: async () => {
      await store.close();
      rmSync(directory, { recursive: true });
    },
  };
});
