import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { openWorkerWorld } from "../worker-world.fake.ts";
import { bindDataHead, bondOfSame, unbindDataHead } from "./bound-answer.ts";
import { DATA_HEAD_BYTES, FRAME, FRAME_HEAD_BYTES, readDataHead, writeDataHeads } from "./frames.ts";
import { createItemHash, tagKeyOf } from "./item-hash.ts";
import { byFrame, startRelay } from "./relay.fake.ts";

const KEY = "0123456789abcdef".repeat(2);
const secret = tagKeyOf(KEY);
const LENGTH = 300_000;
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

const frameOf = () => {
  const frame = Buffer.alloc(FRAME_HEAD_BYTES + DATA_HEAD_BYTES);
  const digest = createItemHash({ length: LENGTH, key: KEY }).updateZeros(LENGTH);
  const flags = { isZero: true, isPatch: false, isLast: true };
  writeDataHeads(frame, 0, { index: 7, at: 0, length: LENGTH, digest, ...flags });
  return { frame, digest };
};

describe("the head of data that is bound", () => {
  it("has its mark back, and is refused with any bit of it changed", () => {
    const { frame, digest } = frameOf();
    bindDataHead(frame, secret);
    const body = frame.subarray(FRAME_HEAD_BYTES);
    for (let bit = 0; bit < body.length * 8; bit++) {
      const changed = Buffer.from(body);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => unbindDataHead(changed, secret)).toThrow(expect.objectContaining({ code: "corrupt" }));
    }
    unbindDataHead(body, secret);
    expect(readDataHead(body).digest.equals(digest)).toBe(true);
  });

  it("is not that of another transfer", () => {
    const { frame } = frameOf();
    bindDataHead(frame, secret);
    const other = tagKeyOf("f".repeat(32));
    expect(() => unbindDataHead(frame.subarray(FRAME_HEAD_BYTES), other)).toThrow(/head/);
    const same = { index: 7, sha256: "ab".repeat(32) };
    expect(new Set([bondOfSame(same, secret), bondOfSame(same, other)]).size).toBe(2);
    expect(bondOfSame({ ...same, index: 8 }, secret)).not.toBe(bondOfSame(same, secret));
  });
});

it("a worker of an earlier release asks for no binding and is sent none, and one that does not bind is believed", async () => {
  const world = await openWorkerWorld();
  closers.push(world.close);
  const [from, to] = ["source/tree", "destination/tree"].map((path) => join(world.directory, path));
  if (from === undefined || to === undefined) throw new TypeError("no tree");
  for (const directory of [from, to]) mkdirSync(directory);
  const contents = [randomBytes(LENGTH), Buffer.alloc(LENGTH), randomBytes(100)];
  for (const [index, bytes] of contents.entries()) writeFileSync(join(from, `f${index}`), bytes);
  writeFileSync(join(to, "f2"), contents[2] ?? "");
  const items = (await world.list()).slice(1).map((entry) => ({ entry, offset: 0, length: entry.size }));
  const seen = new Set<number>();
  const relay = await startRelay(world.source.port, {
    // What it does not know it does not hear.
    ask: byFrame((frame) => [Buffer.from(frame.toString("latin1").replace('"binds":', '"bands":'), "latin1")]),
    answer: byFrame((frame) => {
      if (frame[0] === FRAME.same) expect(frame.toString("latin1")).not.toContain("bond");
      if (frame[0] === FRAME.data) {
        expect(frame.subarray(FRAME_HEAD_BYTES + 33, FRAME_HEAD_BYTES + DATA_HEAD_BYTES)).toEqual(Buffer.alloc(16));
      }
      seen.add(frame[0] ?? 0);
      return [frame];
    }),
  });
  closers.push(relay.close);
  const sources = [{ ...world.peer(items), endpoints: [relay.endpoint] }];
  expect((await world.run(world.copyWork(items, { sources }))).failures).toEqual([]);
  for (const [index, bytes] of contents.entries()) expect(readFileSync(join(to, `f${index}`)).equals(bytes)).toBe(true);
  expect([...seen].sort()).toEqual([FRAME.data, FRAME.same, FRAME.end]);
});
