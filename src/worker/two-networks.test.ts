import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import { startRelay } from "./wire/relay.fake.ts";
import { openWorkerWorld, type WorkerWorld } from "./worker-world.fake.ts";

const MIB = 1024 * 1024;
const FILES = 4;
const FILE_BYTES = 6 * MIB;

let open: WorkerWorld | undefined;
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
  open?.close();
  open = undefined;
});

it("two networks carry together what is moved, and one that fails stops nothing", async () => {
  const world = await openWorkerWorld();
  open = world;
  const [from, to] = [join(world.directory, "source/tree"), join(world.directory, "destination/tree")];
  mkdirSync(from);
  const names = Array.from({ length: FILES }, (_, index) => `f${index}`);
  for (const name of names) writeFileSync(join(from, name), randomBytes(FILE_BYTES));
  const networks = await Promise.all(["127.0.0.1", "127.0.0.2"].map((host) => startRelay(world.source.port, { host })));
  closers.push(...networks.map(({ close }) => close));
  const copy = (entry: CopyItem["entry"]) => {
    const items = [{ entry, offset: 0, length: entry.size }];
    const sources = [{ ...world.peer(items), endpoints: networks.map(({ endpoint }) => endpoint) }];
    return world.run(world.copyWork(items, { unit: entry.path, sources, rate_bytes_s: 8e6 }));
  };
  const all = Promise.all((await world.list()).slice(1).map(copy));
  await vi.waitFor(
    () => {
      for (const { moved } of networks) expect(moved().answered).toBeGreaterThan(MIB);
    },
    { timeout: 30_000, interval: 5 },
  );
  const [, second] = networks;
  second?.close();
  const before = second?.moved().answered;
  expect((await all).map(({ failures, way }) => [failures, way])).toEqual(names.map(() => [[], "destination"]));
  for (const name of names) expect(readFileSync(join(to, name)).equals(readFileSync(join(from, name)))).toBe(true);
  expect((second?.moved().answered ?? 0) - (before ?? 0)).toBeLessThan(MIB);
  expect(networks[0]?.moved().answered).toBeGreaterThan(2 * FILE_BYTES);
});
