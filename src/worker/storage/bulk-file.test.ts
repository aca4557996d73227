import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { createBulkFiles } from "./bulk-file.ts";

const MEMORY_MS = 0.3;
const DISK_MS = 5;
const HUNG_MS = 60;
const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0).toReversed()) close();
});

/** `take(ms)`: so long whatever follows takes. */
function begin(flags = "w+") {
  const directory = mkdtempSync(join(tmpdir(), "sluice-bulk-"));
  open.push(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, "file");
  closeSync(openSync(path, "w"));
  const fd = openSync(path, flags);
  open.push(() => closeSync(fd));
  let nowMs = 0;
  let stepMs = MEMORY_MS;
  let looks = 0;
  // Looked at before and after each.
  const monotonicMs = () => {
    looks += 1;
    nowMs += stepMs;
    return nowMs;
  };
  const files = createBulkFiles({ monotonicMs });
  const bulk = files.of(fd, () => false);
  const write = (ms: number) => {
    stepMs = ms;
    return bulk.write(Buffer.from("x"), 0);
  };
  /** How many are done elsewhere before one is tried here again. */
  const countElsewhere = async (ms: number) => {
    let count = 0;
    for (; !bulk.isDirect(); count++) await write(ms);
    return count;
  };
  return { looks: () => looks, path, fd, files, bulk, write, countElsewhere };
}

describe("a file whose pieces come from memory or go there", () => {
  it("is looked at from elsewhere first, and then moved at once", async () => {
    const { bulk, write } = begin();
    expect(bulk.isDirect()).toBe(false);
    await write(MEMORY_MS);
    expect(bulk.isDirect()).toBe(true);
    await write(MEMORY_MS);
    expect(bulk.isDirect()).toBe(true);
  });

  it("is moved at once although one took long: this process may not have run meanwhile", async () => {
    const { bulk, write } = begin();
    await write(MEMORY_MS);
    for (let times = 0; times < 3; times++) {
      await write(DISK_MS);
      expect(bulk.isDirect()).toBe(true);
      await write(MEMORY_MS);
    }
    expect(bulk.isDirect()).toBe(true);
  });

  it("is left to other threads by whom this thread has enough to do for", async () => {
    const { files, fd, write } = begin();
    await write(MEMORY_MS);
    let isBusy = true;
    const busy = files.of(fd, () => isBusy);
    await busy.write(Buffer.from("y"), 0);
    expect(busy.isDirect()).toBe(false);
    isBusy = false;
    expect(busy.isDirect()).toBe(true);
  });

  it("is known to all who have it open, and no other file is", async () => {
    const { path, files, bulk, write } = begin();
    const openAgain = (at: string) => {
      const fd = openSync(at, "w+");
      open.push(() => closeSync(fd));
      return files.of(fd, () => false);
    };
    await write(MEMORY_MS);
    const same = openAgain(path);
    expect([same.isDirect(), openAgain(`${path}-other`).isDirect()]).toEqual([true, false]);
    await write(DISK_MS);
    await write(DISK_MS);
    expect([bulk.isDirect(), same.isDirect(), openAgain(path).isDirect()]).toEqual([false, false, false]);
  });

  it("is written by one at a time, and read by all", async () => {
    const { looks, files, fd } = begin();
    const [one, other] = [0, 1].map(() => files.of(fd, () => false));
    const writes = [one?.write(Buffer.from("a"), 0), other?.write(Buffer.from("b"), 1)];
    expect(looks()).toBe(1);
    await Promise.all(writes);
    expect(looks()).toBe(4);
    const [third, fourth] = [0, 1].map(() => files.of(fd, () => true));
    const [first, second] = [Buffer.alloc(1), Buffer.alloc(1)];
    const reads = [third?.read(first, 0), fourth?.read(second, 1)];
    expect(looks()).toBe(6);
    await Promise.all(reads);
    expect(first.toString() + second.toString()).toBe("ab");
  });

  it("is written by all at a time where this thread is busy, which would give the turns", async () => {
    const { looks, files, fd } = begin();
    const writes = [0, 1].map((at) => files.of(fd, () => true).write(Buffer.from("a"), at));
    expect(looks()).toBe(2);
    await Promise.all(writes);
  });

  it("is written by the next although one failed", async () => {
    const { path, files, fd } = begin();
    const shut = openSync(path, "r");
    open.push(() => closeSync(shut));
    const failing = files.of(shut, () => false).write(Buffer.from("a"), 0);
    const next = files.of(fd, () => false).write(Buffer.from("b"), 0);
    await expect(failing).rejects.toThrow("EBADF");
    await next;
    expect(readFileSync(path, "utf8")).toBe("b");
  });

  it("is forgotten after many others", async () => {
    const { path, files, fd, write } = begin();
    await write(MEMORY_MS);
    for (let index = 0; index < 256; index++) {
      const other = openSync(`${path}-${index}`, "w");
      files.of(other, () => false);
      closeSync(other);
    }
    expect(files.of(fd, () => false).isDirect()).toBe(false);
  });

  it("lets everything else have its turn", async () => {
    const { bulk, write } = begin();
    await write(MEMORY_MS);
    let isTurn = false;
    setImmediate(() => {
      isTurn = true;
    });
    let count = 0;
    for (; !isTurn && count < 100; count++) await bulk.write(Buffer.from("x"), 0);
    expect(count).toBe(17);
  });

  it("has in it what was written, wherever that was done, and ends where it ends", async () => {
    const { bulk, path } = begin();
    const pieces = [..."abcdef"].map((letter) => Buffer.alloc(1000, letter));
    for (const [index, piece] of pieces.entries()) await bulk.write(piece, index * 1000);
    expect(readFileSync(path).equals(Buffer.concat(pieces))).toBe(true);
    const into = Buffer.alloc(4000);
    expect(await bulk.read(into, 3000)).toBe(3000);
    expect(into.subarray(0, 3000).equals(Buffer.concat(pieces).subarray(3000))).toBe(true);
    expect(await bulk.read(into, 6000)).toBe(0);
  });

  it("tells what went wrong here as it does elsewhere", async () => {
    const { bulk } = begin("r");
    await expect(bulk.write(Buffer.from("x"), 0)).rejects.toThrow("EBADF");
    const { bulk: other } = begin("r");
    await other.read(Buffer.alloc(1), 0);
    expect(other.isDirect()).toBe(true);
    await expect(other.write(Buffer.from("x"), 0)).rejects.toThrow("EBADF");
  });
});

describe("a file on a disk that is waited for", () => {
  it("is left to other threads after two on end, each time for longer, up to 256", async () => {
    const { write, countElsewhere } = begin();
    await write(MEMORY_MS);
    const counts: number[] = [];
    for (let times = 0; times < 7; times++) {
      await write(DISK_MS);
      await write(DISK_MS);
      counts.push(await countElsewhere(DISK_MS));
    }
    expect(counts).toEqual([8, 16, 32, 64, 128, 256, 256]);
  });

  it("is tried from the begin again once it answers from memory", async () => {
    const { write, countElsewhere } = begin();
    await write(MEMORY_MS);
    for (const expected of [8, 16]) {
      await write(DISK_MS);
      await write(DISK_MS);
      expect(await countElsewhere(DISK_MS)).toBe(expected);
    }
    await write(MEMORY_MS);
    await write(DISK_MS);
    await write(DISK_MS);
    expect(await countElsewhere(DISK_MS)).toBe(8);
  });

  it("is never tried here while it hardly answers elsewhere", async () => {
    const { bulk, write, countElsewhere } = begin();
    for (let times = 0; times < 500; times++) {
      await write(HUNG_MS);
      expect(bulk.isDirect()).toBe(false);
    }
    expect(await countElsewhere(MEMORY_MS)).toBeLessThan(257);
  });
});
