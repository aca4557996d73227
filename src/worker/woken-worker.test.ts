import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { CopyItem, WorkOf } from "../contract/transfer/assignment.ts";
import { openStaging, stagingAttempt, type UnitClaim } from "./storage/staging.ts";
import { startRelay } from "./wire/relay.fake.ts";
import { freshOutcome, openWorkerWorld, type WorkerSide, type WorkerWorld } from "./worker-world.fake.ts";

const MIB = 1024 * 1024;
const FENCED = { code: "fenced" };
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

async function begin() {
  const world = await openWorkerWorld();
  closers.push(world.close);
  const [from, to] = [join(world.directory, "source/tree"), join(world.directory, "destination/tree")];
  mkdirSync(from);
  const itemsOf = async (): Promise<CopyItem[]> =>
    (await world.list()).slice(1).map((entry) => ({ entry, offset: 0, length: entry.size }));
  return { world, from, to, itemsOf };
}

/** Lets so many pieces of the answers by, and a half of the next; then nothing until it wakes. `onBytes`: of who takes them. */
async function startSleeper(world: WorkerWorld, pieces: number) {
  const bytesBefore = pieces === 0 ? 0 : (pieces + 0.5) * MIB;
  let taken = 0;
  const tookAll = Promise.withResolvers<void>();
  if (pieces === 0) tookAll.resolve();
  const asleep = Promise.withResolvers<void>();
  const awake = Promise.withResolvers<void>();
  const relay = await startRelay(world.source.port, {
    answer: async (bytes, at) => {
      if (at + bytes.length <= bytesBefore) return bytes;
      asleep.resolve();
      await awake.promise;
      return bytes;
    },
  });
  closers.push(relay.close);
  const onBytes = (bytes: number) => {
    taken += bytes;
    if (taken >= pieces * MIB) tookAll.resolve();
  };
  const isAsleep = Promise.all([asleep.promise, tookAll.promise]);
  return { endpoints: [relay.endpoint], onBytes, asleep: isAsleep, wake: awake.resolve };
}

/** As another worker does that begins with the second attempt at a unit. */
function claimLater({ destination }: WorkerWorld, unit: string): UnitClaim {
  const staging = openStaging(destination.storage.root, "r1");
  const claim = staging.claim(unit, stagingAttempt({ requested_ms: 0, attempt: 2 }));
  closers.push(staging.close, claim.close);
  return claim;
}

/** The destination's worker, of which something happens while a program runs that it needs. */
function sideAsleepIn(
  { destination }: WorkerWorld,
  program: string,
  meanwhile: () => void | Promise<void>,
): WorkerSide {
  const { context } = destination;
  return {
    ...destination,
    context: {
      ...context,
      runProgram: async (name, ...rest) => {
        if (name !== program) return context.runProgram(name, ...rest);
        await meanwhile();
        return { code: 0, signal: null, stdout: "", stderr: "", timedOut: false };
      },
    },
  };
}

const finishOf = (
  world: WorkerWorld,
  { entry }: CopyItem,
  more: Pick<WorkOf<"finish">, "ranges"> & Partial<WorkOf<"finish">>,
): WorkOf<"finish"> => ({
  kind: "finish",
  unit: "end",
  destination: { storage_id: world.destination.storage.id, path: "tree" },
  entry,
  verify: "full",
  preserve: ["mode", "times"],
  ...more,
});

async function rangesOf(world: WorkerWorld, { entry }: CopyItem, attempt = 1): Promise<WorkOf<"finish">["ranges"]> {
  const ranges: WorkOf<"finish">["ranges"] = [];
  for (let offset = 0; offset < entry.size; offset += 4 * MIB) {
    const work = world.copyWork([{ entry, offset, length: 4 * MIB }], { unit: `u${offset}` });
    const { items } = await world.run(work, undefined, { attempt });
    ranges.push(...items.map(({ path: _, ...range }) => range));
  }
  return ranges;
}

describe("a worker that wakes when a later attempt has done its work", () => {
  it("writes no byte more of the range that it was at, whatever the file is by then", async () => {
    const { world, from, to, itemsOf } = await begin();
    writeFileSync(join(from, "long"), randomBytes(8 * MIB));
    const [item] = await itemsOf();
    if (item === undefined) throw new TypeError("nothing was listed");
    const { asleep, wake, endpoints, onBytes } = await startSleeper(world, 1);
    const first = { ...item, length: 4 * MIB };
    const outcome = freshOutcome();
    const sources = [{ ...world.peer([first]), endpoints }];
    const run = world.run(world.copyWork([first], { unit: "u0", sources }), undefined, { outcome, onBytes });
    await asleep;
    const ranges = await rangesOf(world, item, 2);
    expect((await world.run(finishOf(world, item, { ranges }))).failures).toEqual([]);
    const fd = openSync(join(to, "long"), "r+");
    for (const at of [1, 2, 3]) writeSync(fd, "written since", at * MIB);
    closeSync(fd);
    const now = readFileSync(join(to, "long"));
    wake();
    await expect(run).rejects.toMatchObject(FENCED);
    expect(outcome.items).toEqual([]);
    expect(readFileSync(join(to, "long")).equals(now)).toBe(true);
  });

  it("gives nothing a name that it had staged", async () => {
    const { world, from, to, itemsOf } = await begin();
    writeFileSync(join(from, "file"), randomBytes(3 * MIB));
    const items = await itemsOf();
    const { asleep, wake, endpoints, onBytes } = await startSleeper(world, 2);
    const outcome = freshOutcome();
    const sources = [{ ...world.peer(items), endpoints }];
    const run = world.run(world.copyWork(items, { unit: "u", sources }), undefined, { outcome, onBytes });
    await asleep;
    const before = world.sentBytes();
    expect((await world.run(world.copyWork(items, { unit: "u" }), undefined, { attempt: 2 })).failures).toEqual([]);
    // What the earlier had brought did not come again.
    expect(world.sentBytes() - before).toBeLessThan(1.5 * MIB);
    writeFileSync(join(to, "file"), "written since");
    wake();
    await expect(run).rejects.toMatchObject(FENCED);
    expect(outcome.items).toEqual([]);
    expect(readFileSync(join(to, "file"), "utf8")).toBe("written since");
  });

  it("leaves a file that was the same as it is by then", async () => {
    const { world, from, to, itemsOf } = await begin();
    mkdirSync(to);
    writeFileSync(join(from, "same"), randomBytes(300_000), { mode: 0o644 });
    writeFileSync(join(to, "same"), readFileSync(join(from, "same")));
    const items = await itemsOf();
    const { asleep, wake, endpoints } = await startSleeper(world, 0);
    const sources = [{ ...world.peer(items), endpoints }];
    const run = world.run(world.copyWork(items, { unit: "u", sources }));
    await asleep;
    expect((await world.run(world.copyWork(items, { unit: "u" }), undefined, { attempt: 2 })).failures).toEqual([]);
    chmodSync(join(to, "same"), 0o600);
    wake();
    await expect(run).rejects.toMatchObject(FENCED);
    expect(statSync(join(to, "same")).mode & 0o777).toBe(0o600);
  });

  it("makes neither a directory nor a link", async () => {
    const { world, from, to, itemsOf } = await begin();
    mkdirSync(join(from, "directory"));
    symlinkSync("nowhere", join(from, "link"));
    const items = (await itemsOf()).map((item) => ({ ...item, length: 0 }));
    const { signal } = new AbortController();
    // It is looked at before each item.
    Object.assign(signal, { throwIfAborted: () => void claimLater(world, "u") });
    await expect(world.run(world.copyWork(items, { unit: "u" }), undefined, { signal })).rejects.toMatchObject(FENCED);
    expect(existsSync(to)).toBe(false);
  });

  it("in the middle of the end of a long file, leaves it as it is by then", async () => {
    const { world, from, to, itemsOf } = await begin();
    writeFileSync(join(from, "long"), randomBytes(8 * MIB), { mode: 0o644 });
    const [item] = await itemsOf();
    if (item === undefined) throw new TypeError("nothing was listed");
    const ranges = await rangesOf(world, item);
    const side = sideAsleepIn(world, "dd", async () => {
      expect((await world.run(finishOf(world, item, { ranges }), undefined, { attempt: 2 })).failures).toEqual([]);
      chmodSync(join(to, "long"), 0o600);
    });
    const work = finishOf(world, item, { ranges, verify: "readback" });
    await expect(world.run(work, side)).rejects.toMatchObject(FENCED);
    expect(statSync(join(to, "long")).mode & 0o777).toBe(0o600);
  });

  it("right before the name of a long file, does not give it", async () => {
    const { world, from, to, itemsOf } = await begin();
    writeFileSync(join(from, "long"), randomBytes(8 * MIB));
    const [item] = await itemsOf();
    if (item === undefined) throw new TypeError("nothing was listed");
    const ranges = await rangesOf(world, item);
    const side = sideAsleepIn(world, "getfattr", () => void claimLater(world, "end"));
    const work = finishOf(world, item, { ranges, preserve: ["mode", "xattrs"] });
    await expect(world.run(work, side)).rejects.toMatchObject(FENCED);
    expect(existsSync(join(to, "long"))).toBe(false);
    expect((await world.run(finishOf(world, item, { ranges }), undefined, { attempt: 3 })).failures).toEqual([]);
  });

  it("at the end of its closing, leaves what the later one has staged", async () => {
    const { world, from, to, itemsOf } = await begin();
    mkdirSync(join(from, "directory"));
    mkdirSync(join(to, "directory"), { recursive: true });
    await itemsOf();
    let later: UnitClaim | undefined;
    const side = sideAsleepIn(world, "getfattr", () => {
      later ??= claimLater(world, "close");
    });
    const work: WorkOf<"close"> = {
      kind: "close",
      unit: "close",
      destination: { storage_id: world.destination.storage.id, path: "tree" },
      pages: world.pages.length,
      has_hardlinks: false,
      delete_extraneous: false,
      preserve: ["mode", "xattrs"],
    };
    await expect(world.run(work, side)).rejects.toMatchObject(FENCED);
    later?.requireHeld();
    expect(later).toBeDefined();
  });
});
