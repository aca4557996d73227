import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startLaneMiddle } from "../src/router/lane-middle.fake.ts";
import { digestTree } from "../src/worker/digest-tree.fake.ts";
import { freePort } from "./free-port.ts";
import { createTransferWorld, type TransferWorld } from "./transfer-world.ts";

const MIB = 1024 * 1024;
/** Much more than what is on its way at a time, which is up to 6 MiB on each of three connections and what a second of the rate is. */
const BIG_BYTES = 48 * MIB + 5;

function writeTree(world: TransferWorld): string {
  const tree = join(world.from, "day 1");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "big"), randomBytes(BIG_BYTES));
  for (let index = 0; index < 50; index++) writeFileSync(join(tree, `sub/f${index}`), randomBytes(index * 31));
  return tree;
}

/** Of the hub's own router, towards the destination. */
async function bytesFromBox(world: TransferWorld): Promise<{ readonly all: number; readonly onLanes: number }> {
  const lines = (await world.hub().metrics()).split("\n");
  const figureOf = (name: string) =>
    Number(lines.find((line) => line.startsWith(`router_grpc_${name}{direction="from_box"} `))?.split(" ")[1]);
  return { all: figureOf("bytes_total"), onLanes: figureOf("lane_bytes_total") };
}

async function expectWhole(world: TransferWorld, id: string, [tree, copy]: readonly [string, string]): Promise<void> {
  const end = await world.until(async () => {
    // The hub may be one that is about to answer again.
    const now = await world.progress(id).catch(() => undefined);
    return now?.state === "COMPLETED" || now?.state === "FAILED" ? now : undefined;
  }, `the end of ${id}`);
  expect(end).toMatchObject({ state: "COMPLETED", failures: [], ways: ["router"] });
  expect(digestTree(copy)).toEqual(digestTree(tree));
}

it("two boxes that nobody can reach meet on lanes of a router, which may die in the middle", {
  timeout: 300_000,
}, async () => {
  await using world = await createTransferWorld({
    hasTls: true,
    isReachable: false,
    agentArguments: ["--transfer-max-streams", "3"],
  });
  const tree = writeTree(world);
  const first = join(world.to, "first");
  const request = { source_path: tree, chunk_size_mb: 4 };
  await expectWhole(world, await world.submit({ ...request, destination_path: first }), [tree, first]);
  // On a machine that is very busy a lane may come too late, and what waited for it goes over the call.
  expect((await bytesFromBox(world)).onLanes).toBeGreaterThan(BIG_BYTES / 2);

  const copy = join(world.to, "copy");
  const id = await world.submit({ ...request, destination_path: copy, bandwidth_mbps: 64 });
  await world.until(async () => (await world.progress(id)).transferred_bytes >= BIG_BYTES / 8, "an eighth");
  await world.killHub();
  await expectWhole(world, id, [tree, copy]);
  // Of another router, which knows nothing of what came before it.
  expect((await bytesFromBox(world)).onLanes).toBeGreaterThan(BIG_BYTES / 8);
});

it("two boxes that nobody can reach meet in calls where something on the way lets no lane through", {
  timeout: 300_000,
}, async () => {
  const port = await freePort();
  let lanes = 0;
  const middle = await startLaneMiddle(port, (near) => {
    lanes += 1;
    near.destroy();
  });
  try {
    await using world = await createTransferWorld({ isReachable: false, hubPort: port, publicUrl: middle.url });
    const tree = writeTree(world);
    const copy = join(world.to, "copy");
    const request = { source_path: tree, destination_path: copy, chunk_size_mb: 4 };
    await expectWhole(world, await world.submit(request), [tree, copy]);
    const { all, onLanes } = await bytesFromBox(world);
    expect([lanes > 0, onLanes]).toEqual([true, 0]);
    expect(all).toBeGreaterThan(BIG_BYTES);
  } finally {
    middle.close();
  }
});
