import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { digestTree } from "../src/worker/digest-tree.fake.ts";
import { createTransferWorld } from "./transfer-world.ts";

const MIB = 1024 * 1024;
/** What a kill may cost one connection, and how many there are. */
const STREAMS = 2;
const KILL_BYTES = STREAMS * 8 * MIB;

it("a tree arrives identical though both workers and the hub are killed on the way", { timeout: 180_000 }, async () => {
  await using world = await createTransferWorld({ agentArguments: ["--transfer-max-streams", String(STREAMS)] });
  const tree = join(world.from, "day 1");
  const bigBytes = 40 * MIB + 5;
  mkdirSync(join(tree, "sub/empty"), { recursive: true });
  writeFileSync(join(tree, "big"), randomBytes(bigBytes));
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
    world.until(async () => (await world.progress(id)).transferred_bytes >= bigBytes * part, `${part * 100} %`);
  await past(0.2);
  await world.killWorker("from");
  await past(0.4);
  await world.killWorker("to");
  await past(0.6);
  await world.killHub();
  const end = await world.until(async () => {
    const progress = await world.progress(id).catch(() => undefined);
    return progress?.state === "COMPLETED" || progress?.state === "FAILED" ? progress : undefined;
  }, "its end");
  expect(end).toMatchObject({ state: "COMPLETED", failures: [] });
  expect(digestTree(join(world.to, "copy"))).toEqual(digestTree(tree));
  expect(digestTree(world.to).filter((line) => line.includes("sluice"))).toEqual([]);
  expect(world.movedBytes()).toBeGreaterThan(bigBytes);
  expect(world.movedBytes()).toBeLessThan(bigBytes + 2 * KILL_BYTES + 2 * MIB);
});
