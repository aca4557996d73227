import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { openWorkerWorld, type WorkerWorld } from "../worker-world.fake.ts";

let world: WorkerWorld;
afterEach(() => world.close());

const DIRECTORIES = ["kept/inner", "used", "exchanged", "linked/deep", "empty/one/two"];

/** Of a tree of directories alone, and a file of several ranges whose end is not there. What has come by then lies at the answer. */
async function copyHalf(place: string): Promise<string> {
  world = await openWorkerWorld();
  const from = join(world.directory, "source/tree");
  for (const name of DIRECTORIES) mkdirSync(join(from, name), { recursive: true });
  writeFileSync(join(from, "empty/film"), "x".repeat(3000));
  mkdirSync(join(world.directory, "destination", "mine/kept"), { recursive: true });
  const entries = await world.list();
  const destination = { storage_id: world.destination.storage.id, path: place };
  const whole = entries.filter(({ type }) => type === "directory");
  const items = whole.map((entry) => ({ entry, offset: 0, length: 0 }));
  await world.run(world.copyWork(items, { unit: "directories", destination }));
  const film = entries.filter(({ type }) => type === "file");
  const half = film.map((entry) => ({ entry, offset: 0, length: 1500 }));
  await world.run(world.copyWork(half, { unit: "half", destination }));
  return join(world.directory, "destination", place);
}

const discard = (path: string) =>
  world.run({ kind: "discard", unit: "discard", destination: { storage_id: world.destination.storage.id, path } });

const namesBelow = (directory: string): readonly string[] =>
  readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();

test("of a request that is cancelled the directories that it made go with those around them, and nobody else's", async () => {
  await copyHalf("mine/new/tree");
  const root = join(world.directory, "destination");
  expect(existsSync(join(root, ".sluice-transfer/r1/made"))).toBe(true);
  expect(namesBelow(join(root, "mine/new/tree"))).toContain("empty/one/two");
  await discard("mine/new/tree");
  expect(namesBelow(join(root, "mine"))).toEqual(["kept"]);
  expect(existsSync(join(root, ".sluice-transfer/r1"))).toBe(false);
  // Told twice, because the first answer was lost.
  await discard("mine/new/tree");
  expect(namesBelow(join(root, "mine"))).toEqual(["kept"]);
});

test("a directory of it stays where something lies in it by then, where it is another by then, or behind a link", async () => {
  const tree = await copyHalf("tree");
  const outside = join(world.directory, "outside");
  mkdirSync(join(outside, "deep"), { recursive: true });
  writeFileSync(join(tree, "used/by-hand"), "x");
  renameSync(join(tree, "exchanged"), join(tree, "before"));
  mkdirSync(join(tree, "exchanged"));
  rmSync(join(tree, "linked"), { recursive: true });
  symlinkSync(outside, join(tree, "linked"));
  // What a crash left of a line, and what nobody wrote.
  appendFileSync(
    join(world.directory, "destination/.sluice-transfer/r1/made"),
    `1 ${Buffer.from("../outside/deep").toString("base64")}\n\n7 //\nx`,
  );
  await discard("tree");
  expect(namesBelow(tree)).toEqual(["before", "exchanged", "linked", "linked/deep", "used", "used/by-hand"]);
  expect(namesBelow(outside)).toEqual(["deep"]);
});

test("a copy that is whole keeps its empty directories", async () => {
  world = await openWorkerWorld();
  mkdirSync(join(world.directory, "source/tree/empty/inner"), { recursive: true });
  expect(await world.move()).toEqual([]);
  await discard("tree");
  expect(namesBelow(join(world.directory, "destination/tree"))).toEqual(["empty", "empty/inner"]);
});
