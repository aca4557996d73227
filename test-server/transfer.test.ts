import { randomBytes } from "node:crypto";
import {
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { digestTree } from "../src/worker/digest-tree.fake.ts";
import { createTransferWorld, type TransferWorld } from "./transfer-world.ts";

const MIB = 1024 * 1024;
/** What a kill may cost one connection, and how many there are. */
const STREAMS = 2;
const KILL_BYTES = STREAMS * 8 * MIB;
const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const BIG_BYTES = (isLong ? 200 : 24) * MIB + 5;
/** Part of the bytes at which each is killed. */
const KILLED_AT = isLong ? { from: 0.25, to: 0.5, hub: 0.75 } : { from: 0.25, to: 0.5, hub: 0.25 };

it("a tree arrives identical though workers and the hub are killed on the way", { timeout: 300_000 }, async () => {
  await using world = await createTransferWorld({
    // What goes through a router nobody here counts.
    agentArguments: ["--transfer-max-streams", String(STREAMS), "--transfer-ways", "direct"],
  });
  const tree = join(world.from, "day 1");
  mkdirSync(join(tree, "sub/empty"), { recursive: true });
  writeFileSync(join(tree, "big"), randomBytes(BIG_BYTES));
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/odd `), Buffer.from([0xff, 0x0a])]), "odd");
  for (let index = 0; index < 300; index++) writeFileSync(join(tree, `sub/f${index}`), randomBytes(index));
  linkSync(join(tree, "sub/f9"), join(tree, "twin"));
  symlinkSync("sub/f9", join(tree, "link"));

  const id = await world.submit({
    source_path: tree,
    destination_path: join(world.to, "copy"),
    chunk_size_mb: 8,
    bandwidth_mbps: 80,
  });
  const past = (part: number) =>
    world.until(
      async () => {
        // The hub may be the first to be killed.
        const progress = await world.progress(id).catch(() => undefined);
        return (progress?.transferred_bytes ?? 0) >= BIG_BYTES * part;
      },
      `${part * 100} %`,
    );
  await Promise.all([
    past(KILLED_AT.from).then(() => world.killWorker("from")),
    past(KILLED_AT.to).then(() => world.killWorker("to")),
    past(KILLED_AT.hub).then(() => world.killHub()),
  ]);
  const end = await world.until(async () => {
    const progress = await world.progress(id).catch(() => undefined);
    return progress?.state === "COMPLETED" || progress?.state === "FAILED" ? progress : undefined;
  }, "its end");
  expect(end).toMatchObject({ state: "COMPLETED", failures: [] });
  expect(digestTree(join(world.to, "copy"))).toEqual(digestTree(tree));
  // Marks of workers may be there; of the request nothing is.
  expect(readdirSync(join(world.to, ".sluice-transfer")).filter((name) => !name.startsWith("m-"))).toEqual([]);
  await compare(world, tree, end.root_hash);
  expect(world.movedBytes()).toBeGreaterThan(BIG_BYTES);
  expect(world.movedBytes()).toBeLessThan(BIG_BYTES + 2 * KILL_BYTES + 2 * MIB);
});

it("long files that are nearly or altogether holes arrive, and have them still", { timeout: 120_000 }, async () => {
  await using world = await createTransferWorld({});
  const tree = join(world.from, "disks");
  mkdirSync(tree);
  for (const [name, data] of [
    ["nearly", randomBytes(MIB)],
    ["altogether", Buffer.alloc(0)],
  ] as const) {
    writeFileSync(join(tree, name), data);
    truncateSync(join(tree, name), 64 * MIB);
  }
  const to = join(world.to, "copy");
  const id = await world.submit({ source_path: tree, destination_path: to, chunk_size_mb: 8, preserve: ["sparse"] });
  const end = await world.until(async () => {
    const progress = await world.progress(id);
    return progress.state === "COMPLETED" || progress.state === "FAILED" ? progress : undefined;
  }, "its end");
  expect(end).toMatchObject({ state: "COMPLETED", failures: [] });
  for (const name of ["nearly", "altogether"]) {
    expect(readFileSync(join(to, name)).equals(readFileSync(join(tree, name)))).toBe(true);
    expect(statSync(join(to, name)).blocks * 512).toBeLessThan(2 * MIB);
  }
});

/** Nothing goes between the boxes for it; of both trees it says what the receipt says, and then the one byte that differs. */
async function compare(world: TransferWorld, tree: string, root: string | undefined): Promise<void> {
  const copy = join(world.to, "copy");
  const before = world.movedBytes();
  const over = async () => {
    const id = await world.submit({ mode: "verify", source_path: tree, destination_path: copy });
    return world.until(async () => {
      const progress = await world.progress(id);
      return progress.state === "COMPLETED" || progress.state === "FAILED" ? progress : undefined;
    }, "the comparison");
  };
  const same = await over();
  expect(same).toMatchObject({ state: "COMPLETED", failures: [], comparison: { differences: [] } });
  expect(same.comparison?.source_root_hash).toBe(root);
  expect(same.comparison?.destination_root_hash).toBe(root);
  const { atime, mtime } = statSync(join(copy, "big"));
  const fd = openSync(join(copy, "big"), "r+");
  writeSync(fd, "x", BIG_BYTES - 1);
  writeSync(fd, "y", BIG_BYTES - 2);
  closeSync(fd);
  utimesSync(join(copy, "big"), atime, mtime);
  const other = await over();
  expect(other).toMatchObject({ state: "COMPLETED", comparison: { differing: 1, only_in_source: 0 } });
  expect(other.comparison?.differences?.[0]).toMatchObject({
    path: "big",
    differs: expect.arrayContaining(["content"]),
  });
  expect(world.movedBytes()).toBe(before);
}
