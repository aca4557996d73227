import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { digestTree } from "../src/worker/digest-tree.fake.ts";
import { startEvilRouter } from "./evil-router.ts";
import { createTransferWorld } from "./transfer-world.ts";

const MIB = 1024 * 1024;
const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const BIG_BYTES = (isLong ? 200 : 16) * MIB + 5;

const filesOf = (root: string) => digestTree(root, { times: false }).filter((line) => !/^[^ ]*\/ /.test(line));

it("two boxes that nobody can reach meet in a router, which sees nothing, changes nothing and may die", {
  timeout: 180_000,
}, async () => {
  await using world = await createTransferWorld({
    isReachable: false,
    hubFlags: ["--remote-own-router", "false"],
    agentArguments: ["--transfer-max-streams", "2"],
  });
  const tree = join(world.from, "day 1");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "big"), randomBytes(BIG_BYTES));
  const secret = "what-nobody-else-may-read ".repeat(2000);
  writeFileSync(join(tree, "a secret"), secret);
  for (let index = 0; index < 50; index++) writeFileSync(join(tree, `sub/f${index}`), randomBytes(index * 31));
  const copy = join(world.to, "copy");
  const id = await world.submit({
    source_path: tree,
    destination_path: copy,
    chunk_size_mb: 4,
    bandwidth_mbps: 64,
  });
  // The hub may be one that is about to answer again.
  const progress = () => world.progress(id).catch(() => undefined);
  const past = (part: number) =>
    world.until(async () => ((await progress())?.transferred_bytes ?? 0) >= BIG_BYTES * part, `${part * 100} %`);
  await world.until(async () => (await progress())?.reason.includes("there is no router"), "that it says why it waits");

  await using router = await startEvilRouter(world.hub());
  let flipped = 0;
  router.bend((frame, { direction }) => {
    // From the source's side; not the handshake.
    if (direction !== "toOperator" || frame.length < 10_000) return [frame];
    flipped += 1;
    const changed = Buffer.from(frame);
    changed.writeUInt8((changed.at(-20) ?? 0) ^ 0x10, changed.length - 20);
    return [changed];
  });
  const refused = await world.until(
    async () => (await progress())?.ways_given_up.find(({ way }) => way === "router"),
    "that the router is found out",
  );
  expect(refused.reason).toMatch(/through the router evil-1: /);
  expect(flipped).toBeGreaterThan(0);
  // Whatever came before the first flip is what it should be, and of the rest there is nothing.
  const landed = readdirSync(world.to).includes("copy") ? filesOf(copy) : [];
  expect(filesOf(tree)).toEqual(expect.arrayContaining(landed));
  expect(landed.join("\n")).not.toContain("/big ");

  router.bend(undefined);
  await past(0.25);
  expect(router.taken().includes(secret.slice(0, 100))).toBe(false);
  for (const end of router.ends) end.cut();
  await past(0.4);
  // From here on they meet in the hub itself; the long form kills that as well.
  await world.killHub([]);
  if (isLong) {
    await past(0.6);
    await world.killHub();
  }
  const end = await world.until(async () => {
    const now = await progress();
    return now?.state === "COMPLETED" || now?.state === "FAILED" ? now : undefined;
  }, "its end");
  expect(end).toMatchObject({ state: "COMPLETED", failures: [], ways: ["router"] });
  expect(digestTree(copy)).toEqual(digestTree(tree));
  expect(readdirSync(join(world.to, ".sluice-transfer")).filter((name) => !name.startsWith("m-"))).toEqual([]);
});
