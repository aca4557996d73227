import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import { FRAME, PIECE_BYTES } from "./wire/frames.ts";
import { byFrame, startRelay } from "./wire/relay.fake.ts";
import { openWorkerWorld, type WorkerWorld } from "./worker-world.fake.ts";

/** Of the file, and of them those that come before the connection breaks. */
const PIECES = { all: 12, first: 5 } as const;
let world: WorkerWorld;
afterEach(() => world.close());

/** A copy whose first connection breaks in the middle of the file; `after`: where it may dial then. */
async function begin() {
  world = await openWorkerWorld();
  mkdirSync(join(world.directory, "source/tree"));
  const bytes = randomBytes(PIECES.all * PIECE_BYTES);
  writeFileSync(join(world.directory, "source/tree/file"), bytes);
  const items = (await world.list()).slice(1).map((entry): CopyItem => ({ entry, offset: 0, length: entry.size }));
  let pieces = 0;
  const relay = await startRelay(world.source.port, {
    answer: byFrame((frame) => {
      if (frame[0] === FRAME.data) pieces += 1;
      return pieces > PIECES.first ? [] : [frame];
    }),
  });
  const told: number[] = [];
  const sum = () => told.reduce((before, one) => before + one, 0);
  const run = (after: readonly { readonly address: string; readonly trusted: boolean }[]) => {
    const broken = { address: `127.0.0.1:${relay.port}`, trusted: true };
    const sources = [{ ...world.peer(items), endpoints: [broken, ...after] }];
    return world.run(world.copyWork(items, { sources }), world.destination, {
      onBytes: (count) => {
        told.push(count);
        if (sum() === PIECES.first * PIECE_BYTES) relay.close();
      },
    });
  };
  const isWhole = () => readFileSync(join(world.directory, "destination/tree/file")).equals(bytes);
  return { run, sum, isWhole };
}

it("what lies staged when a connection breaks is counted once, whatever comes again after it", async () => {
  const { run, sum, isWhole } = await begin();
  const { failures } = await run([{ address: `127.0.0.1:${world.source.port}`, trusted: true }]);
  expect(failures).toEqual([]);
  expect(isWhole()).toBe(true);
  expect(sum()).toBe(PIECES.all * PIECE_BYTES);
});

it("a way that brings nothing more is given up, however much it had brought before", async () => {
  const { run, sum } = await begin();
  await expect(run([])).rejects.toMatchObject({ code: "unreachable" });
  expect(sum()).toBe(PIECES.first * PIECE_BYTES);
});
