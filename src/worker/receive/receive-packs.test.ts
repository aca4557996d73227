import { closeSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import type { CopyItem } from "../../contract/transfer/assignment.ts";
import { createBulkFiles } from "../storage/bulk-file.ts";
import { openRootDirectory } from "../storage/jail.ts";
import { FRAME, FRAME_HEAD_BYTES, PACK_BYTES, WINDOW_BYTES } from "../wire/frames.ts";
import { itemKeyOf, tagKeyOf } from "../wire/item-hash.ts";
import { createPace } from "../wire/pace.ts";
import { createPackWriter, MAX_PACKED } from "../wire/pack.ts";
import { createScriptedLink } from "../wire/scripted-link.fake.ts";
import { type ReceiveOutcome, receiveItems } from "./receive-items.ts";
import { createPackReceiver } from "./receive-packs.ts";

const PACKS = 6;
const KEY = itemKeyOf("uid:1");

function itemsOf(count: number): readonly CopyItem[] {
  return Array.from({ length: count }, (_, index) => ({
    entry: {
      path: `f${index}`,
      type: "file",
      size: 3,
      mtime_ns: "0",
      mode: 0o644,
      uid: 0,
      gid: 0,
      generation: "of the source",
    },
    offset: 0,
    length: 3,
  }));
}

function packOf(number: number): Buffer {
  const pack = createPackWriter(Buffer.alloc(FRAME_HEAD_BYTES + PACK_BYTES));
  for (let index = 0; index < MAX_PACKED; index++) {
    pack.next(3).write("abc");
    pack.add(number * MAX_PACKED + index, 3);
  }
  return pack.finish({ key: tagKeyOf(KEY), number }).subarray(FRAME_HEAD_BYTES);
}

test("between two packs that have both come, whatever else waits for the event loop has its turn", async () => {
  const directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "sluice-packs-"));
  const root = openRootDirectory(directory);
  const { link, come } = createScriptedLink();
  for (let number = 0; number < PACKS; number++) come(FRAME.pack, packOf(number));
  come(FRAME.end);
  let turns = 0;
  let isOver = false;
  const count = () => {
    turns += 1;
    if (!isOver) setImmediate(count);
  };
  const turnsAtFrame: number[] = [];
  const next = () => {
    turnsAtFrame.push(turns);
    return link.next();
  };
  const outcome: ReceiveOutcome = { items: [], failures: [] };
  setImmediate(count);
  try {
    await receiveItems(
      {
        requestId: "r",
        unit: "0.0",
        attempt: 1,
        place: "",
        items: itemsOf(PACKS * MAX_PACKED),
        skips: new Set(),
        verify: "transit",
        key: KEY,
        preserve: [],
      },
      outcome,
      {
        clock: systemClock,
        bulkFiles: createBulkFiles(systemClock),
        runProgram: async () => {
          throw new TypeError("no program is needed for this");
        },
        pid: process.pid,
        root,
        open: async () => ({ link: { ...link, next }, worker: "source" }),
        pace: createPace(() => undefined, systemClock),
        windowBytes: () => WINDOW_BYTES,
        signal: new AbortController().signal,
        onBytes: () => undefined,
      },
    );
    expect(outcome.failures).toEqual([]);
    expect(readdirSync(directory).filter((name) => name.startsWith("f"))).toHaveLength(PACKS * MAX_PACKED);
    expect(turnsAtFrame).toHaveLength(PACKS + 1);
    for (const [index, at] of turnsAtFrame.slice(1).entries()) expect(at).toBeGreaterThan(turnsAtFrame[index] ?? at);
  } finally {
    isOver = true;
    closeSync(root);
    rmSync(directory, { recursive: true });
  }
});

test("of a pack nothing is staged that is not the whole of its file, comes a second time, or was not asked for", () => {
  const directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "sluice-packs-"));
  const root = openRootDirectory(directory);
  const items = itemsOf(3);
  const pack = createPackWriter(Buffer.alloc(FRAME_HEAD_BYTES + PACK_BYTES));
  for (const [index, text] of [
    [0, "abc"],
    [0, "xyz"],
    [1, "abcd"],
    [2, "ab"],
    [9, "abc"],
  ] as const) {
    pack.next(text.length).write(text);
    pack.add(index, text.length);
  }
  const body = pack.finish({ key: tagKeyOf(KEY), number: 0 }).subarray(FRAME_HEAD_BYTES);
  try {
    const stage = createPackReceiver({ claim: { directory: root }, key: KEY, verify: "full", preserve: [] });
    const { staged, others, broken } = stage(body, (index) => items[index]);
    expect([staged.map(({ index }) => index), others.map(({ index }) => index), broken]).toEqual([
      [0],
      [0, 1, 2, 9],
      [],
    ]);
    expect(readdirSync(directory).map((name) => readFileSync(join(directory, name), "utf8"))).toEqual(["abc"]);
    for (const { file } of staged) void file.close();
  } finally {
    closeSync(root);
    rmSync(directory, { recursive: true, force: true });
  }
});
