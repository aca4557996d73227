import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { FRAME_HEAD_BYTES, PACK_BYTES } from "./wire/frames.ts";
import { startRelay } from "./wire/relay.fake.ts";
import { openWorkerWorld, type WorkerWorld } from "./worker-world.fake.ts";

const MIB = 1024 * 1024;
const FILE_BYTES = 3 * MIB;
const WHOLE_BYTES = FRAME_HEAD_BYTES + PACK_BYTES;

let open: WorkerWorld | undefined;
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
  open?.close();
  open = undefined;
});

/** Two files, each a lease; the second is asked for as soon as the first may share its connection. Answers with the most that was under way. */
async function copyTwo(rate: number) {
  const world = await openWorkerWorld();
  open = world;
  const [from, to] = [join(world.directory, "source/tree"), join(world.directory, "destination/tree")];
  mkdirSync(from);
  for (const name of ["one", "two"]) writeFileSync(join(from, name), randomBytes(FILE_BYTES));
  const relay = await startRelay(world.source.port);
  closers.push(relay.close);
  const entries = (await world.list()).filter(({ type }) => type === "file");
  const count = { taken: 0, most: 0 };
  const lease = async (index: number): Promise<void> => {
    const items = entries.slice(index, index + 1).map((entry) => ({ entry, offset: 0, length: entry.size }));
    const sources = [{ ...world.peer(items), endpoints: [relay.endpoint] }];
    let next: Promise<void> | undefined;
    const work = world.copyWork(items, { unit: `${index}.0`, sources, rate_bytes_s: rate });
    const { failures } = await world.run(work, undefined, {
      onBytes: (bytes) => {
        count.most = Math.max(count.most, relay.moved().answered - count.taken);
        count.taken += bytes;
      },
      onNearlyDone: () => {
        if (index === 0) next ??= lease(1);
      },
    });
    expect(failures).toEqual([]);
    await next;
  };
  await lease(0);
  expect(relay.connections()).toBe(1);
  for (const name of ["one", "two"])
    expect(readFileSync(join(to, name)).equals(readFileSync(join(from, name)))).toBe(true);
  return count.most;
}

it("of what is held to a rate no more is under way than that moves in a second, also of the lease that is asked for ahead", async () => {
  const rate = 1.5e6;
  // A tenth of a second may come at once, a second may have one frame more, one goes beside that, and one may have been taken just now.
  expect(await copyTwo(rate)).toBeLessThan(1.1 * rate + 3 * WHOLE_BYTES);
});
