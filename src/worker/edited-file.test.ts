import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import { FRAME, FRAME_HEAD_BYTES, PIECE_BYTES } from "./wire/frames.ts";
import { byFrame, startRelay } from "./wire/relay.fake.ts";
import { openWorkerWorld, type WorkerWorld } from "./worker-world.fake.ts";

const MIB = 1024 * 1024;
const KIB = 1024;
/** That come before the connection is cut. */
const PIECES = 5;
let world: WorkerWorld;
afterEach(() => world.close());

/** The same file on both sides; then each is changed. */
const begin = async (bytes: Buffer) => {
  world = await openWorkerWorld();
  const [from, to] = [join(world.directory, "source/tree"), join(world.directory, "destination/tree")];
  for (const directory of [from, to]) {
    mkdirSync(directory);
    writeFileSync(join(directory, "file"), bytes);
  }
  return { from: join(from, "file"), to: join(to, "file") };
};
const write = (path: string, at: number, bytes: Buffer) => {
  const file = openSync(path, "r+");
  writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
};
const moveAll = async (chunkBytes: number) => {
  expect(await world.move({ chunkBytes })).toEqual([]);
  return world.sentBytes();
};
const isEqual = ({ from, to }: { readonly from: string; readonly to: string }) =>
  readFileSync(from).equals(readFileSync(to));

it.each([
  ["as a whole", 64 * MIB],
  ["in ranges", 4 * MIB],
])("of a file that was edited in places only those are sent, %s", async (_, chunkBytes) => {
  const files = await begin(randomBytes(18 * MIB + 12_345));
  for (const at of [0, 5 * MIB - 10, 9 * MIB + 700, 18 * MIB + 12_000]) write(files.from, at, randomBytes(300));
  const sent = await moveAll(chunkBytes);
  expect(isEqual(files)).toBe(true);
  // Four blocks, one of them the short last one, and one more where an edit lies across two.
  expect(sent).toBeLessThan(5 * 64 * KIB);
  expect(sent).toBeGreaterThan(4 * 64 * KIB);
});

it.each([
  ["grown", 4 * MIB + 100, 5 * MIB, MIB + 64 * KIB],
  ["shorter", 5 * MIB, 4 * MIB + 100, 64 * KIB],
])("of one that is %s the rest alone is sent", async (_, before, after, most) => {
  const all = randomBytes(5 * MIB);
  const files = await begin(all.subarray(0, after));
  writeFileSync(files.to, all.subarray(0, before));
  const sent = await moveAll(64 * MIB);
  expect(isEqual(files)).toBe(true);
  expect(sent).toBeLessThan(most + 10 * KIB);
});

it("one that has nothing in common with what is there comes whole, and one that is the same not at all", async () => {
  const files = await begin(randomBytes(3 * MIB + 1));
  expect(await moveAll(64 * MIB)).toBe(0);
  writeFileSync(files.to, randomBytes(3 * MIB + 1));
  expect(await moveAll(64 * MIB)).toBeGreaterThan(3 * MIB);
  expect(isEqual(files)).toBe(true);
});

it("holes stay holes, and what became zero does", async () => {
  const files = await begin(randomBytes(4 * MIB));
  write(files.from, MIB, Buffer.alloc(MIB + 300));
  const sent = await moveAll(64 * MIB);
  expect(isEqual(files)).toBe(true);
  expect(sent).toBeLessThan(64 * KIB + 2000);
});

it("what changes at the destination while it is put together gives no wrong file, and the next attempt has it right", async () => {
  const files = await begin(randomBytes(6 * MIB));
  write(files.from, 100, randomBytes(10));
  const item = (await world.list()).slice(1).map((entry): CopyItem => ({ entry, offset: 0, length: entry.size }));
  const { context } = world.destination;
  let frames = 0;
  const dial: typeof context.dialler.dial = async (...how) => {
    const dialled = await context.dialler.dial(...how);
    const next = async () => {
      const frame = await dialled.link.next();
      // It is held open by then.
      if (frame?.type === FRAME.data && ++frames === 2) write(files.to, 3 * MIB, randomBytes(10));
      return frame;
    };
    return { ...dialled, link: { ...dialled.link, next } };
  };
  const watched = { ...context, dialler: { ...context.dialler, dial } };
  const { failures } = await world.run(world.copyWork(item), { ...world.destination, context: watched });
  expect(failures).toMatchObject([{ code: "io", message: expect.stringMatching(/changed at the destination/) }]);
  expect(isEqual(files)).toBe(false);
  expect((await world.run(world.copyWork(item), world.destination, { attempt: 2 })).failures).toEqual([]);
  expect(isEqual(files)).toBe(true);
});

it("who goes on with what was half put together compares the rest", async () => {
  const files = await begin(randomBytes(12 * MIB));
  for (const at of [0, 8 * MIB]) write(files.from, at, randomBytes(10));
  const item = (await world.list()).slice(1).map((entry): CopyItem => ({ entry, offset: 0, length: entry.size }));
  let pieces = 0;
  const relay = await startRelay(world.source.port, {
    answer: byFrame((frame) => {
      if (frame[0] === FRAME.data) pieces += 1;
      return pieces > PIECES ? [] : [frame];
    }),
  });
  const sources = [{ ...world.peer(item), endpoints: [relay.endpoint] }];
  let came = 0;
  const cut = world.run(world.copyWork(item, { sources }), world.destination, {
    onBytes: (bytes) => {
      came += bytes;
      // A connection that is reset takes along what is not read yet.
      if (came === PIECES * PIECE_BYTES) relay.close();
    },
  });
  await expect(cut).rejects.toMatchObject({ code: "unreachable" });
  const before = world.sentBytes();
  let asked = 0;
  const told = await world.run(world.copyWork(item), world.destination, {
    attempt: 2,
    onBytes: (bytes) => (asked += bytes),
  });
  expect(told.failures).toEqual([]);
  expect(isEqual(files)).toBe(true);
  expect(asked).toBe(12 * MIB);
  const sent = world.sentBytes() - before;
  expect(sent).toBeGreaterThan(64 * KIB);
  // Pieces that were there are not even told of.
  expect(sent).toBeLessThan(64 * KIB + 8 * (FRAME_HEAD_BYTES + 60));
});

it("a link at the destination is not followed for its blocks", async () => {
  const files = await begin(randomBytes(2 * MIB));
  const outside = join(world.directory, "outside");
  writeFileSync(outside, readFileSync(files.to));
  rmSync(files.to);
  symlinkSync(outside, files.to);
  write(files.from, 0, randomBytes(10));
  expect(await moveAll(64 * MIB)).toBeGreaterThan(2 * MIB);
  expect(isEqual(files)).toBe(true);
  expect(readFileSync(outside).equals(readFileSync(files.to))).toBe(false);
});
