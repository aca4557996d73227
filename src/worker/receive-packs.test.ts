import { closeSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../base/clock.ts";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import type { DataLink, Frame } from "./data-link.ts";
import { emptyFrame, FRAME, FRAME_HEAD_BYTES, PACK_BYTES } from "./frames.ts";
import { itemKeyOf, tagKeyOf } from "./item-hash.ts";
import { openRootDirectory } from "./jail.ts";
import { createPace } from "./pace.ts";
import { createPackWriter, MAX_PACKED } from "./pack.ts";
import { type ReceiveOutcome, receiveItems } from "./receive-items.ts";

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

function frameOf(bytes: Buffer): Frame {
  return { type: bytes[0] ?? 0, body: bytes.subarray(FRAME_HEAD_BYTES), release: () => undefined };
}

function packOf(number: number): Frame {
  const pack = createPackWriter(Buffer.alloc(FRAME_HEAD_BYTES + PACK_BYTES));
  for (let index = 0; index < MAX_PACKED; index++) {
    pack.next(3).write("abc");
    pack.add(number * MAX_PACKED + index, 3);
  }
  return frameOf(pack.finish({ key: tagKeyOf(KEY), number }));
}

test("between two packs that have both come, whatever else waits for the event loop has its turn", async () => {
  const directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "sluice-packs-"));
  const root = openRootDirectory(directory);
  const frames = [...Array.from({ length: PACKS }, (_, number) => packOf(number)), frameOf(emptyFrame(FRAME.end))];
  let turns = 0;
  let isOver = false;
  const count = () => {
    turns += 1;
    if (!isOver) setImmediate(count);
  };
  const turnsAtFrame: number[] = [];
  const link: DataLink = {
    next: async () => {
      turnsAtFrame.push(turns);
      return frames.shift();
    },
    send: async () => undefined,
    room: async () => undefined,
    took: () => undefined,
    linger: () => undefined,
    moved: () => 0,
    rest: () => undefined,
    wake: () => undefined,
    close: () => undefined,
    isOpen: () => true,
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
        runProgram: async () => {
          throw new TypeError("no program is needed for this");
        },
        pid: process.pid,
        root,
        open: async () => link,
        pace: createPace(() => undefined, systemClock),
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
