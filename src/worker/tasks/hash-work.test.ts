import { hash, randomBytes } from "node:crypto";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { openWorkerWorld, type WorkerWorld } from "../worker-world.fake.ts";

let world: WorkerWorld | undefined;
afterEach(() => {
  world?.close();
  world = undefined;
});

const BIG = randomBytes(9 * 1024 * 1024 + 3);

async function begin() {
  const opened = await openWorkerWorld();
  world = opened;
  const tree = join(opened.directory, "source/tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "big"), BIG);
  writeFileSync(join(tree, "empty"), "");
  writeFileSync(join(tree, "sub/small"), "hello");
  const files = (await opened.list()).filter(({ type }) => type === "file");
  const run = (
    entries: readonly TransferEntry[] = files,
    verify: "full" | "readback" = "full",
    onBytes: (bytes: number) => void = () => undefined,
  ) =>
    opened.run(
      {
        kind: "hash",
        unit: "0.0",
        place: { storage_id: opened.source.storage.id, path: "tree" },
        items: entries.map((entry) => ({ entry, offset: 0, length: entry.size })),
        verify,
      },
      opened.source,
      { onBytes },
    );
  return { opened, tree, files, run };
}

it.each(["full", "readback"] as const)(
  "hashes whole files where they lie, %s, and tells how far it is",
  async (verify) => {
    const { run, files, opened } = await begin();
    let bytes = 0;
    const outcome = await run(files, verify, (count) => {
      bytes += count;
    });
    expect(outcome).toMatchObject({ failures: [] });
    expect(outcome.items.map(({ path, sha256 }) => [path, sha256])).toEqual([
      ["big", hash("sha256", BIG, "hex")],
      ["empty", hash("sha256", "", "hex")],
      ["sub/small", hash("sha256", "hello", "hex")],
    ]);
    expect(bytes).toBe(BIG.length + 5);
    expect(opened.sentBytes()).toBe(0);
  },
);

it("what is another by now, has gone or leads elsewhere is that file's failure; the others are hashed", async () => {
  const { run, tree, opened } = await begin();
  writeFileSync(join(tree, "big"), "shorter");
  rmSync(join(tree, "empty"));
  renameSync(join(tree, "sub"), join(opened.directory, "outside"));
  symlinkSync(join(opened.directory, "outside"), join(tree, "sub"));
  writeFileSync(join(tree, "z"), "last");
  const z = (await opened.list()).filter(({ path }) => path === "z");
  const listed = ["big", "empty", "sub/small"].map((path) => ({
    path,
    type: "file",
    size: 1,
    generation: "1:1:1:1:1",
  }));
  const outcome = await run([...(listed as TransferEntry[]), ...z]);
  expect(outcome.failures.map(({ path, code }) => [path, code])).toEqual([
    ["big", "source-changed"],
    ["empty", "not-found"],
    ["sub/small", expect.stringMatching(/^(denied|io)$/)],
  ]);
  expect(outcome.items.map(({ path }) => path)).toEqual(["z"]);
});
