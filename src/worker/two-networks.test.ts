import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import type { CopyItem } from "../contract/transfer/assignment.ts";
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

/** The way to a worker over one network. */
async function startNetwork(host: string, target: number) {
  let bytes = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const peer = connect({ host: "127.0.0.1", port: target });
    for (const [one, other] of [
      [client, peer],
      [peer, client],
    ] as const) {
      sockets.add(one);
      one.on("error", () => undefined);
      one.once("close", () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
    peer.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
  });
  await new Promise<void>((done) => server.listen(0, host, done));
  const address = server.address();
  const fail = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  closers.push(fail);
  return {
    endpoint: {
      address: `${host}:${typeof address === "object" && address !== null ? address.port : 0}`,
      trusted: true,
    },
    bytes: () => bytes,
    fail,
  };
}

it("two networks carry together what is moved, and one that fails stops nothing", async () => {
  const world = await openWorkerWorld();
  open = world;
  const [from, to] = [join(world.directory, "source/tree"), join(world.directory, "destination/tree")];
  mkdirSync(from);
  const names = Array.from({ length: FILES }, (_, index) => `f${index}`);
  for (const name of names) writeFileSync(join(from, name), randomBytes(FILE_BYTES));
  const networks = await Promise.all(["127.0.0.1", "127.0.0.2"].map((host) => startNetwork(host, world.source.port)));
  const copy = (entry: CopyItem["entry"]) => {
    const items = [{ entry, offset: 0, length: entry.size }];
    const sources = [{ ...world.peer(items), endpoints: networks.map(({ endpoint }) => endpoint) }];
    return world.run(world.copyWork(items, { unit: entry.path, sources, rate_bytes_s: 8e6 }));
  };
  const all = Promise.all((await world.list()).slice(1).map(copy));
  await vi.waitFor(
    () => {
      for (const { bytes } of networks) expect(bytes()).toBeGreaterThan(MIB);
    },
    { timeout: 30_000, interval: 5 },
  );
  const [, second] = networks;
  second?.fail();
  const before = second?.bytes();
  expect((await all).map(({ failures, way }) => [failures, way])).toEqual(names.map(() => [[], "destination"]));
  for (const name of names) expect(readFileSync(join(to, name)).equals(readFileSync(join(from, name)))).toBe(true);
  expect((second?.bytes() ?? 0) - (before ?? 0)).toBeLessThan(MIB);
  expect(networks[0]?.bytes()).toBeGreaterThan(2 * FILE_BYTES);
});
