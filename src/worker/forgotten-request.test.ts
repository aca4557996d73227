import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { CopyItem, WorkOf } from "../contract/transfer/assignment.ts";
import { openWorkerWorld, type WorkerWorld } from "./worker-world.fake.ts";

const MIB = 1024 * 1024;
const RANGES = 4;
/** Heads, wants and answers. */
const TALK_BYTES = 10_000;
/** Of one id: that which a hub with an emptied store has forgotten, and that which was asked for later. */
const BEFORE = { lease: "aaaaaaaa:0.0:3", attempt: 3, requestedMs: 1_700_000_000_000 };
const NOW = { lease: "bbbbbbbb:0.0:1", attempt: 1, requestedMs: 1_700_000_100_000 };

let open: WorkerWorld | undefined;
afterEach(() => {
  open?.close();
  open = undefined;
});

async function begin() {
  const world = await openWorkerWorld();
  open = world;
  const from = join(world.directory, "source/tree");
  mkdirSync(from);
  const long = randomBytes(RANGES * MIB);
  writeFileSync(join(from, "long"), long);
  writeFileSync(join(from, "short"), randomBytes(MIB / 2));
  writeFileSync(join(from, "tiny"), "tiny");
  const entries = (await world.list()).slice(1);
  const entryOf = (name: string) => {
    const entry = entries.find(({ path }) => path === name);
    if (entry === undefined) throw new TypeError(`${name} was not listed`);
    return entry;
  };
  const whole = ["short", "tiny"].map((name): CopyItem => {
    const entry = entryOf(name);
    return { entry, offset: 0, length: entry.size };
  });
  const entry = entryOf("long");
  const range = (index: number, how: typeof NOW) =>
    world.run(world.copyWork([{ entry, offset: index * MIB, length: MIB }], { unit: `u${index}` }), undefined, how);
  const finish = (ranges: WorkOf<"finish">["ranges"], how: typeof NOW) => {
    const destination = { storage_id: world.destination.storage.id, path: "tree" };
    const work = {
      kind: "finish",
      unit: "end",
      destination,
      entry,
      ranges,
      verify: "full",
      preserve: ["mode"],
    } as const;
    return world.run({ ...work, preserve: [...work.preserve] }, undefined, how);
  };
  const batch = (how: typeof NOW) => world.run(world.copyWork(whole, { unit: "batch" }), undefined, how);
  const ranges = async (how: typeof NOW) => {
    const told: WorkOf<"finish">["ranges"] = [];
    for (let index = 0; index < RANGES; index++) {
      for (const { offset, length, sha256 } of (await range(index, how)).items) told.push({ offset, length, sha256 });
    }
    return told;
  };
  return { world, long, from, range, ranges, finish, batch, to: join(world.directory, "destination/tree") };
}

it("that is asked for again takes over what lies staged, whatever its attempts were, and sends nothing of it", async () => {
  const { world, long, ranges, range, finish, to } = await begin();
  await ranges(BEFORE);
  const sent = world.sentBytes();
  const told = await ranges(NOW);
  expect(world.sentBytes() - sent).toBeLessThan(TALK_BYTES);
  // Whoever still works for the forgotten one has nothing more to say, however high its attempts are.
  await expect(range(0, { ...BEFORE, attempt: 99 })).rejects.toMatchObject({ code: "fenced" });
  expect(await finish(told, NOW)).toMatchObject({ failures: [], items: [{ path: "long" }] });
  expect(readFileSync(join(to, "long")).equals(long)).toBe(true);
  expect(world.sentBytes() - sent).toBeLessThan(TALK_BYTES);
});

it("whose files have landed sends none of them again, long or short", async () => {
  const { world, long, from, ranges, finish, batch, to } = await begin();
  await batch(BEFORE);
  await finish(await ranges(BEFORE), BEFORE);
  const sent = world.sentBytes();
  expect((await batch(NOW)).failures).toEqual([]);
  expect((await finish(await ranges(NOW), NOW)).failures).toEqual([]);
  expect(world.sentBytes() - sent).toBeLessThan(TALK_BYTES);
  expect(readFileSync(join(to, "long")).equals(long)).toBe(true);
  expect(readFileSync(join(to, "short")).equals(readFileSync(join(from, "short")))).toBe(true);
});

it("whose staged bytes are others by now has that range sent, and no other", async () => {
  const { world, long, ranges, finish, to } = await begin();
  await ranges(BEFORE);
  const all = join(world.directory, "destination/.sluice-transfer/r1");
  const [partial = ""] = readdirSync(all).filter((name) => name.startsWith("p-"));
  const fd = openSync(join(all, partial), "r+");
  writeSync(fd, Buffer.from([(long[MIB + 7] ?? 0) ^ 1]), 0, 1, MIB + 7);
  closeSync(fd);
  const sent = world.sentBytes();
  const told = await ranges(NOW);
  expect(world.sentBytes() - sent).toBeGreaterThan(MIB);
  expect(world.sentBytes() - sent).toBeLessThan(MIB + TALK_BYTES);
  expect((await finish(told, NOW)).failures).toEqual([]);
  expect(readFileSync(join(to, "long")).equals(long)).toBe(true);
});
