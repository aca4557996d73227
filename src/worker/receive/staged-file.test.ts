import { randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { createBulkFiles } from "../storage/bulk-file.ts";
import { openRootDirectory } from "../storage/jail.ts";
import { PIECE_BYTES } from "../wire/frames.ts";
import { createItemHash, itemKeyOf } from "../wire/item-hash.ts";
import { openStagedFile } from "./staged-file.ts";

const KEY = itemKeyOf("transfer:1.2:3");
const LENGTH = 5 * PIECE_BYTES + 9;
const NOTHING = Buffer.alloc(0);
const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

async function stage(how: { readonly isSparse: boolean; readonly before: Buffer; readonly size?: number }) {
  const directory = mkdtempSync(join(tmpdir(), "sluice-staged-"));
  open.push(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  const path = join(directory, "staged");
  writeFileSync(path, how.before);
  if (how.size !== undefined) truncateSync(path, how.size);
  const root = openRootDirectory(directory);
  open.push(() => closeSync(root));
  const place = { directory: root, name: Buffer.from("staged") };
  const staged = await openStagedFile({
    place,
    offset: 0,
    length: LENGTH,
    key: KEY,
    proved: undefined,
    isSparse: how.isSparse,
    isWhole: false,
    bulkFiles: createBulkFiles(systemClock),
    isElsewhere: () => false,
  });
  return { staged, path };
}

describe("zeros of many pieces that are told of at once", () => {
  const sender = () => createItemHash({ length: LENGTH, key: KEY });

  it.each([
    ["where nothing lies", true, NOTHING],
    ["over what an attempt left", true, randomBytes(2 * PIECE_BYTES + 5)],
    ["where holes are not asked for", false, NOTHING],
  ])("are there %s, and what follows them", async (_, isSparse, before) => {
    const { staged, path } = await stage({ isSparse, before });
    const last = randomBytes(PIECE_BYTES + 9);
    const marks = sender();
    const [zeros] = [0, 1, 2, 3].map(() => marks.updateZeros(PIECE_BYTES)).slice(-1);
    await staged.add({ at: 0, length: 4 * PIECE_BYTES, isZero: true, digest: zeros, bytes: NOTHING });
    for (const [at, bytes] of [
      [4 * PIECE_BYTES, last.subarray(0, PIECE_BYTES)],
      [5 * PIECE_BYTES, last.subarray(PIECE_BYTES)],
    ] as const) {
      await staged.add({ at, length: bytes.length, isZero: false, digest: marks.update(bytes), bytes });
    }
    await staged.sync();
    expect(staged.digest()).toBe(marks.digest());
    await staged.close();
    const whole = Buffer.concat([Buffer.alloc(4 * PIECE_BYTES), last]);
    expect(readFileSync(path).equals(whole)).toBe(true);
    if (isSparse && before.length === 0) expect(statSync(path).blocks * 512).toBeLessThan(3 * PIECE_BYTES);
  });

  it.each([
    ["many at once", 4],
    ["one by one", 1],
  ])("stay holes, told of %s, where another range has made the file longer already", async (_, pieces) => {
    const { staged, path } = await stage({ isSparse: true, before: randomBytes(5), size: LENGTH });
    const marks = sender();
    for (let at = 0; at < 4; at += pieces) {
      const [digest] = Array.from({ length: pieces }, () => marks.updateZeros(PIECE_BYTES)).slice(-1);
      const length = pieces * PIECE_BYTES;
      await staged.add({ at: at * PIECE_BYTES, length, isZero: true, digest, bytes: NOTHING });
    }
    await staged.sync();
    await staged.close();
    expect(readFileSync(path).equals(Buffer.alloc(LENGTH))).toBe(true);
    // What lay in the first piece was written over.
    expect(statSync(path).blocks * 512).toBeLessThan(2 * PIECE_BYTES);
  });

  it("are refused where they do not follow, end within a piece, reach too far, or have another mark", async () => {
    const { staged } = await stage({ isSparse: true, before: NOTHING });
    const marks = sender();
    const [, digest] = [marks.updateZeros(PIECE_BYTES), marks.updateZeros(PIECE_BYTES)];
    const right = { at: 0, length: 2 * PIECE_BYTES, isZero: true, digest, bytes: NOTHING };
    for (const wrong of [
      { ...right, at: PIECE_BYTES },
      { ...right, length: 2 * PIECE_BYTES - 1 },
      { ...right, length: 6 * PIECE_BYTES },
    ]) {
      await expect(staged.add(wrong)).rejects.toMatchObject({ code: "corrupt" });
    }
    expect(staged.bytes()).toBe(0);
    await staged.add(right);
    await expect(
      staged.add({ ...right, at: 2 * PIECE_BYTES, digest: Buffer.alloc(digest?.length ?? 0) }),
    ).rejects.toMatchObject({ code: "corrupt" });
    await staged.close();
  });
});

describe("zeros within a piece that has data", () => {
  it.each([
    ["stay a hole where nothing lies", NOTHING],
    ["are written over what an attempt left", randomBytes(PIECE_BYTES)],
  ])("%s", async (_, before) => {
    const { staged, path } = await stage({ isSparse: true, before });
    const bytes = Buffer.alloc(PIECE_BYTES);
    randomBytes(100).copy(bytes, PIECE_BYTES / 2);
    const digest = createItemHash({ length: LENGTH, key: KEY }).update(bytes);
    await staged.add({ at: 0, length: PIECE_BYTES, isZero: false, digest, bytes });
    await staged.sync();
    await staged.close();
    expect(readFileSync(path).equals(bytes)).toBe(true);
    if (before.length === 0) expect(statSync(path).blocks * 512).toBeLessThan(PIECE_BYTES / 2);
  });
});
