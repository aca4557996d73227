import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { CopyItem, WorkOf } from "../contract/transfer/assignment.ts";
import { digestTree } from "./digest-tree.fake.ts";
import { openWorkerWorld, type WorkerWorld } from "./worker-world.fake.ts";

const MIB = 1024 * 1024;

let open: WorkerWorld | undefined;
const begin = async () => {
  open = await openWorkerWorld({ trusted: false });
  const [from, to] = [join(open.directory, "source/tree"), join(open.directory, "destination/tree")];
  mkdirSync(from);
  return { world: open, from, to };
};
afterEach(() => {
  open?.close();
  open = undefined;
});

const itemsOf = async (world: WorkerWorld): Promise<CopyItem[]> =>
  (await world.list()).map((entry) => ({ entry, offset: 0, length: entry.size }));

/** Both sides of one lease, as the hub gives them out. */
function both(
  world: WorkerWorld,
  items: readonly CopyItem[],
  {
    attempt = 1,
    copy = {},
    signal = new AbortController().signal,
  }: {
    readonly attempt?: number;
    readonly copy?: Partial<WorkOf<"copy">>;
    readonly signal?: AbortSignal;
  } = {},
) {
  const [source] = [world.peer(items)];
  const sources = [{ ...source, endpoints: [], ticket: world.ticket(items, { cert: world.destination.sha256 }) }];
  return Promise.allSettled([
    world.run(
      world.copyWork(items, { dial: "router", meeting: world.meeting("destination"), sources, ...copy }),
      world.destination,
      { attempt, signal },
    ),
    world.run(
      {
        kind: "serve",
        copy_lease_id: "lease",
        copy_attempt: attempt,
        source: { storage_id: world.source.storage.id, path: "tree" },
        destinations: [],
        meeting: world.meeting("source"),
      },
      world.source,
      { attempt, signal },
    ),
  ] as const);
}

describe("two workers that meet in a router", () => {
  it("move a tree as over a connection of their own", async () => {
    const { world, from, to } = await begin();
    mkdirSync(join(from, "sub"));
    writeFileSync(join(from, "big"), randomBytes(3 * MIB + 17));
    for (let index = 0; index < 70; index++) writeFileSync(join(from, `sub/f${index}`), randomBytes(index * 31));
    writeFileSync(join(from, "zeros"), Buffer.alloc(600 * 1024));
    const seen: Buffer[] = [];
    world.meetings.bend = (frame) => {
      seen.push(frame);
      return frame;
    };
    const [copied, served] = await both(world, await itemsOf(world));
    expect(copied).toMatchObject({ status: "fulfilled", value: { failures: [], way: "router", isDialFailed: false } });
    expect(served).toMatchObject({ status: "fulfilled", value: { way: "router" } });
    // What directories are like is set when all is there.
    const files = (root: string) => digestTree(root, { times: false }).filter((line) => !/^[^ ]*\/ /.test(line));
    expect(files(to)).toEqual(files(from));
    // Nothing of it is to be read on the way.
    const secret = readFileSync(join(from, "big")).subarray(0, 64);
    expect(Buffer.concat(seen).includes(secret)).toBe(false);
    expect(Buffer.concat(seen).length).toBeGreaterThan(3 * MIB);
  });

  it("lose no more than 8 MiB where the router dies, and the next attempt goes on", async () => {
    const { world, from, to } = await begin();
    const bytes = 24 * MIB;
    const data = randomBytes(bytes);
    writeFileSync(join(from, "file"), data);
    const items = (await itemsOf(world)).slice(1);
    let passed = 0;
    world.meetings.bend = (frame) => {
      passed += frame.length;
      return frame;
    };
    const first = both(world, items, { copy: { rate_bytes_s: 60e6 } });
    await vi.waitFor(() => expect(passed).toBeGreaterThan(14 * MIB), { timeout: 30_000, interval: 5 });
    for (const pair of world.meetings.pairs) pair.break();
    const before = passed;
    const [copied] = await first;
    expect(copied).toMatchObject({ status: "rejected", reason: { code: "unreachable" } });
    expect(readdirSync(join(world.directory, "destination"))).not.toContain("tree");
    const [again] = await both(world, items, { attempt: 2 });
    expect(again.status === "rejected" ? again.reason : again.value.failures).toEqual([]);
    // TLS and frames add a little.
    expect(passed - before).toBeLessThan(bytes - before + 8 * MIB + bytes / 50);
    expect(readFileSync(join(to, "file")).equals(data)).toBe(true);
  });

  it("refuse a router that changes what it carries: nothing lands, and the way counts as useless", async () => {
    const { world, from } = await begin();
    writeFileSync(join(from, "file"), randomBytes(2 * MIB));
    let count = 0;
    world.meetings.bend = (frame) => {
      if (frame.length < 10_000 || ++count < 3) return frame;
      const changed = Buffer.from(frame);
      changed.writeUInt8((changed.at(-20) ?? 0) ^ 0x10, changed.length - 20);
      return changed;
    };
    const outcome = await both(world, (await itemsOf(world)).slice(1));
    expect(outcome[0]).toMatchObject({ status: "rejected", reason: { code: "unreachable" } });
    expect(readdirSync(join(world.directory, "destination"))).not.toContain("tree");
  });

  it.each(["destination", "source"] as const)("refuse who stands in for the other, at the %s's end", async (side) => {
    const { world, from } = await begin();
    writeFileSync(join(from, "file"), randomBytes(MIB));
    const items = (await itemsOf(world)).slice(1);
    const real = world.meeting;
    const forged: WorkerWorld = {
      ...world,
      meeting: (at) => (at === side ? { ...real(at), certificate_sha256: "0".repeat(64) } : real(at)),
    };
    const outcome = await both(forged, items);
    expect(outcome[side === "destination" ? 0 : 1]).toMatchObject({
      status: "rejected",
      reason: { code: "unreachable", message: expect.stringMatching(/certificate is not the one that the hub knows/) },
    });
    expect(readdirSync(join(world.directory, "destination"))).not.toContain("tree");
  });

  it("give nothing without the ticket of the lease, though the right worker asks", async () => {
    const { world, from } = await begin();
    writeFileSync(join(from, "file"), "x");
    const items = (await itemsOf(world)).slice(1);
    const others = [{ ...world.peer(items), endpoints: [], ticket: world.ticket([]) }];
    const [copied] = await both(world, items, { copy: { sources: others } });
    expect(copied).toMatchObject({ status: "rejected", reason: { code: "denied" } });
  });
});
