import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { createBulkFile } from "./bulk-file.ts";

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
  // Looked at before and after each.
  const bulk = createBulkFile(fd, { monotonicMs: () => (nowMs += stepMs) });
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
  return { path, bulk, write, countElsewhere };
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
