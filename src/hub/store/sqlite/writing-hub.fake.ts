/**
 * A hub that does nothing but write, for tests that kill it: `node writing-hub.fake.ts FILE [BOXES]`. It prints one line for
 * each write that was acknowledged, after it was: `ready`, then `<revision>` of what box `b` should run; with BOXES, of what
 * each of the boxes `m-0`, `m-1` … should run, which are changed in one step.
 */
import { randomUUID } from "node:crypto";
import { writeSync } from "node:fs";
import { enrol, NOW, stream } from "../store.fake.ts";
import { createSqliteStore } from "./sqlite-store.ts";

const [path = "", many = "0"] = process.argv.slice(2);
const ids = Array.from({ length: Number(many) }, (_, n) => `m-${n}`);
try {
  const store = createSqliteStore({ path }, { newId: randomUUID });
  if ((await store.boxes.get("b")) === undefined) await enrol(store, "b");
  for (const id of ids) if ((await store.boxes.get(id)) === undefined) await enrol(store, id);
  writeSync(1, "ready\n");
  for (let n = 0; n < 1_000_000; n++) {
    const audit = { actor: "test", action: "workload.put", subject: "box/b", outcome: "done" } as const;
    const put = [stream(`cam-${n % 40}`, `rtsp://camera/${randomUUID()}`)];
    if (ids.length > 0) {
      const settled = await store.expected.settle(ids, () => ({ writes: [{ entries: put, audit }] }), NOW);
      const [one] = settled;
      writeSync(1, `${one !== undefined && "answer" in one ? one.answer.revision : "error"}\n`);
      continue;
    }
    const { revision } = await store.expected.change("b", { put }, { nowMs: NOW, audit });
    writeSync(1, `${revision}\n`);
  }
} catch (thrown) {
  writeSync(2, `${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
  process.exitCode = 1;
}
