import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { chmod, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SyncProgress } from "../src/contract/transfer/sync-progress.ts";
import { createTransferWorld, type TransferWorld } from "./transfer-world.ts";

const LIMIT_MS = 120_000;
const LONG_AGO = new Date("2020-02-03T04:05:06.789Z");

/** What a request asks for, as it is on the disks of two real boxes afterwards. */
describe("a request between two boxes", () => {
  let world: TransferWorld;
  beforeAll(async () => {
    world = await createTransferWorld();
  }, LIMIT_MS);
  afterAll(() => world?.[Symbol.asyncDispose](), LIMIT_MS);

  const lay = async (root: string, files: Readonly<Record<string, string>>) => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      await writeFile(join(root, name), text);
    }
  };
  const copy = async (name: string, wish: Readonly<Record<string, unknown>> = {}): Promise<SyncProgress> => {
    const id = await world.submit({
      source_path: join(world.from, name),
      destination_path: join(world.to, name),
      ...wish,
    });
    await world.until(
      async () => ["COMPLETED", "FAILED"].includes((await world.progress(id)).state),
      `${name} is over`,
    );
    return await world.progress(id);
  };
  const arrived = async (name: string) => {
    const root = join(world.to, name);
    const found = await readdir(root, { recursive: true, withFileTypes: true });
    return found
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name: file }) => join(parentPath, file).slice(root.length + 1))
      .toSorted();
  };

  test("copies the files of its list and no others, and fails for one that is not there", {
    timeout: LIMIT_MS,
  }, async () => {
    await lay(join(world.from, "list"), { "a.bin": "a", "deep/b.bin": "b", "c.bin": "c" });
    expect(await copy("list", { file_list: ["a.bin", "deep/b.bin"] })).toMatchObject({ state: "COMPLETED" });
    expect(await arrived("list")).toEqual(["a.bin", "deep/b.bin"]);
    const missing = await copy("list", { file_list: ["c.bin", "gone.bin"] });
    expect(missing.state).toBe("FAILED");
    expect(JSON.stringify(missing)).toContain("gone.bin");
    expect(await arrived("list")).toEqual(["a.bin", "c.bin", "deep/b.bin"]);
  });

  test("copies what is included and not excluded", { timeout: LIMIT_MS }, async () => {
    await lay(join(world.from, "some"), { "a.mp4": "a", "b.txt": "b", "deep/c.mp4": "c", "deep/tmp/d.mp4": "d" });
    expect(await copy("some", { include: ["**/*.mp4", "*.mp4"], exclude: ["**/tmp/**"] })).toMatchObject({
      state: "COMPLETED",
    });
    expect(await arrived("some")).toEqual(["a.mp4", "deep/c.mp4"]);
  });

  test("removes what the source does not have where that is asked for, and only then", {
    timeout: LIMIT_MS,
  }, async () => {
    await lay(join(world.from, "mirror"), { a: "a", b: "b", "deep/c": "c" });
    await lay(join(world.to, "mirror"), { b: "old", "deep/d": "d" });
    expect(await copy("mirror")).toMatchObject({ state: "COMPLETED" });
    expect(await arrived("mirror")).toEqual(["a", "b", "deep/c", "deep/d"]);
    expect(await copy("mirror", { delete_extraneous: true })).toMatchObject({ state: "COMPLETED" });
    expect(await arrived("mirror")).toEqual(["a", "b", "deep/c"]);
    expect(readFileSync(join(world.to, "mirror/b"), "utf8")).toBe("b");
  });

  test("keeps modes, times and links, and of these only what it names where it names some", {
    timeout: LIMIT_MS,
  }, async () => {
    const root = join(world.from, "kept");
    await lay(root, { file: "text" });
    await chmod(join(root, "file"), 0o640);
    utimesSync(join(root, "file"), LONG_AGO, LONG_AGO);
    linkSync(join(root, "file"), join(root, "again"));
    symlinkSync("file", join(root, "link"));
    expect(await copy("kept")).toMatchObject({ state: "COMPLETED" });
    const there = join(world.to, "kept");
    const file = lstatSync(join(there, "file"), { bigint: true });
    expect({ mode: file.mode & 0o777n, mtimeUs: file.mtimeNs / 1000n, nlink: file.nlink }).toEqual({
      mode: 0o640n,
      mtimeUs: lstatSync(join(root, "file"), { bigint: true }).mtimeNs / 1000n,
      nlink: 2n,
    });
    expect(readlinkSync(join(there, "link"))).toBe("file");

    const { state } = await copy("kept", { destination_path: join(world.to, "bare"), preserve: ["mode"] });
    expect(state).toBe("COMPLETED");
    const bare = lstatSync(join(world.to, "bare/file"));
    expect({ mode: bare.mode & 0o777, nlink: bare.nlink }).toEqual({ mode: 0o640, nlink: 1 });
    expect(bare.mtimeMs).toBeGreaterThan(LONG_AGO.getTime());
    expect(existsSync(join(world.to, "bare/link"))).toBe(false);
  });

  test("takes no more than its rate, and fails at its deadline with what has arrived", {
    timeout: LIMIT_MS,
  }, async () => {
    await lay(join(world.from, "slow"), { short: "short", long: "x".repeat(8_000_000) });
    const deadline = new Date(Date.now() + 4000).toISOString();
    const begunMs = performance.now();
    const late = await copy("slow", { bandwidth_mbps: 4, deadline });
    expect(late).toMatchObject({ state: "FAILED" });
    expect(late.reason ?? JSON.stringify(late)).toMatch(/deadline/);
    expect(performance.now() - begunMs).toBeLessThan(30_000);
    expect(await arrived("slow")).not.toContain("long");
    const againMs = performance.now();
    expect(await copy("slow", { bandwidth_mbps: 16 })).toMatchObject({ state: "COMPLETED" });
    // 8 MB at 16 Mbit/s.
    expect(performance.now() - againMs).toBeGreaterThan(3500);
    expect(readFileSync(join(world.to, "slow/long")).length).toBe(8_000_000);
  });
});
