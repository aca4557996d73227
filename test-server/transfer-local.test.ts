import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { digestTree } from "../src/worker/digest-tree.fake.ts";
import { createTransferWorld } from "./transfer-world.ts";

const MIB = 1024 * 1024;
const BIG_BYTES = 24 * MIB + 5;

it("a box copies between two storages of its own though nobody can reach it and there is no router, and goes on after a kill", {
  timeout: 240_000,
}, async () => {
  await using world = await createTransferWorld({
    isOneBox: true,
    isReachable: false,
    hubFlags: ["--remote-own-router", "false"],
    agentArguments: ["--transfer-max-streams", "2"],
  });
  const tree = join(world.from, "day 1");
  mkdirSync(join(tree, "sub/empty"), { recursive: true });
  writeFileSync(join(tree, "big"), randomBytes(BIG_BYTES));
  for (let index = 0; index < 200; index++) writeFileSync(join(tree, `sub/f${index}`), randomBytes(index * 31));
  linkSync(join(tree, "sub/f9"), join(tree, "twin"));
  symlinkSync("sub/f9", join(tree, "link"));
  const copy = join(world.to, "copy");
  const request = { source_path: tree, destination_path: copy, chunk_size_mb: 8 };
  const id = await world.submit({ ...request, bandwidth_mbps: 80 });
  const past = (part: number) =>
    world.until(async () => (await world.progress(id)).transferred_bytes >= BIG_BYTES * part, `${part * 100} %`);
  const ended = (of: string) =>
    world.until(async () => {
      const now = await world.progress(of);
      return now.state === "COMPLETED" || now.state === "FAILED" ? now : undefined;
    }, `the end of ${of}`);

  await past(0.4);
  await world.killWorker("from");
  expect(await ended(id)).toMatchObject({ state: "COMPLETED", failures: [], ways: ["local"], ways_given_up: [] });
  expect(digestTree(copy)).toEqual(digestTree(tree));
  expect(readdirSync(join(world.to, ".sluice-transfer")).filter((name) => !name.startsWith("m-"))).toEqual([]);

  writeFileSync(join(tree, "sub/f7"), "another");
  writeFileSync(join(copy, "extra"), "extra");
  const again = await world.submit({ ...request, delete_extraneous: true });
  expect(await ended(again)).toMatchObject({ state: "COMPLETED", failures: [], ways: ["local"] });
  expect(digestTree(copy)).toEqual(digestTree(tree));
});
