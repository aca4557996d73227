/**
 * A hub that does nothing but write, for tests that kill it: `node writing-hub.fake.ts FILE`. It prints one line for each
 * write that was acknowledged, after it was: `ready`, then `<revision>` of what box `b` should run.
 */
import { randomUUID } from "node:crypto";
import { writeSync } from "node:fs";
import { enrol, NOW, stream } from "../store.fake.ts";
import { createSqliteStore } from "./sqlite-store.ts";

const [path = ""] = process.argv.slice(2);
try {
  const store = createSqliteStore({ path }, { newId: randomUUID });
  if ((await store.boxes.get("b")) === undefined) await enrol(store, "b");
  writeSync(1, "ready\n");
  for (let n = 0; n < 1_000_000; n++) {
    const audit = { actor: "test", action: "workload.put", subject: "box/b", outcome: "done" } as const;
    const put = [stream(`cam-${n % 40}`, `rtsp://camera/${randomUUID()}`)];
    const { revision } = await store.expected.change("b", { put }, { nowMs: NOW, audit });
    writeSync(1, `${revision}\n`);
  }
} catch (thrown) {
  writeSync(2, `${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
  process.exitCode = 1;
}
