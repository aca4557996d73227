import { spawn } from "node:child_process";
import { lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { digestTree } from "../digest-tree.fake.ts";
import { openWorkerWorld, type WorkerWorld } from "../worker-world.fake.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const FILES = 20;
const WRITES = process.env["SLUICE_TEST_LONG"] === "1" ? 100_000 : 2000;
const SECRET = "of nobody's business";
const PRESERVE = ["mode", "times", "hardlinks", "symlinks", "sparse"] as const;
/** Number of the system call; both names are exchanged in one step, so that nothing is ever missing. */
const RENAMEAT2 = process.arch === "arm64" ? 276 : 316;
const FLIP = `$| = 1; print "flipping"; while (1) { syscall(${RENAMEAT2}, -100, $ARGV[0], -100, $ARGV[1], 2); select(undef, undef, undef, rand(0.001)) }`;

/** `tree/sub` of a side, and a link of the same place in its stead, in turns, until the test ends. */
async function exchange(world: WorkerWorld, side: "source" | "destination") {
  const outside = join(world.directory, `outside-${side}`);
  const [tree, link] = [join(world.directory, side, "tree"), join(world.directory, side, "link")];
  for (const path of [join(outside, "deep"), join(tree, "sub/deep")]) mkdirSync(path, { recursive: true });
  for (let index = 0; index < FILES; index++) writeFileSync(join(outside, `f${index}`), SECRET);
  writeFileSync(join(outside, "deep/own"), SECRET);
  symlinkSync(outside, link);
  const child = spawn("perl", ["-e", FLIP, "--", join(tree, "sub"), link], { stdio: ["ignore", "pipe", "inherit"] });
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const end = () => {
    child.kill("SIGKILL");
    return gone;
  };
  closers.push(end);
  await new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
  return { outside, end, before: digestTree(outside) };
}

/** What lies in files, links not followed. */
function textsBelow(directory: string): string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    const facts = lstatSync(path);
    if (facts.isDirectory()) return textsBelow(path);
    return facts.isFile() ? [readFileSync(path, "latin1")] : [];
  });
}

it(`directories of both sides that are exchanged for links while trees are listed, copied and closed lead nothing outside, in ${WRITES} files`, {
  timeout: 1_800_000,
}, async () => {
  const world = await openWorkerWorld();
  closers.push(world.close);
  const sub = join(world.directory, "source/tree/sub");
  mkdirSync(join(sub, "deep"), { recursive: true });
  for (let index = 0; index < FILES; index++) writeFileSync(join(sub, `f${index}`), `file ${index}`);
  const sides = [await exchange(world, "source"), await exchange(world, "destination")];
  const destination = { storage_id: world.destination.storage.id, path: "tree" };
  let copied = 0;
  let refused = 0;
  let removed = 0;
  for (let round = 0; copied + refused < WRITES; round++) {
    let entries: readonly TransferEntry[] = [];
    // Of the root alone where the directory was a link just then.
    for (let look = 0; look < 50 && entries.length <= FILES; look++) entries = await world.list();
    const items = entries.map((entry) => ({ entry, offset: 0, length: entry.size }));
    const { items: done, failures } = await world.run(world.copyWork(items, { unit: `u${round}` }));
    copied += done.filter(({ path }) => path.startsWith("sub/")).length;
    refused += failures.length;
    // Every other time with something to remove: names that lie outside as well.
    if (round % 2 === 0)
      world.pages.splice(
        0,
        world.pages.length,
        entries.filter(({ path }) => !/^sub\/f1/.test(path)),
      );
    const closed = await world
      .run({
        kind: "close",
        unit: `c${round}`,
        destination,
        pages: 1,
        has_hardlinks: false,
        delete_extraneous: true,
        preserve: [...PRESERVE],
      })
      .catch(() => undefined);
    if (/removed [1-9]/.test(closed?.message ?? "")) removed += 1;
  }
  for (const { end } of sides) await end();
  for (const { outside, before } of sides) expect(digestTree(outside)).toEqual(before);
  const texts = textsBelow(join(world.directory, "destination"));
  expect(texts.filter((text) => text.includes(SECRET))).toEqual([]);
  // Else nothing was tried.
  expect(copied).toBeGreaterThan(WRITES / 20);
  expect(refused).toBeGreaterThan(WRITES / 100);
  expect(removed).toBeGreaterThan(0);
  process.stderr.write(`${copied} copied, ${refused} refused, removed from ${removed} trees\n`);
});
