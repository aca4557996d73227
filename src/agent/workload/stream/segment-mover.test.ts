import { generateKeyPairSync } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createFakeClock, type FakeClock } from "../../../base/clock.fake.ts";
import { signToken } from "../../../contract/signed-token.ts";
import type { SegmentAnswer, SegmentAsk } from "../../../contract/transfer/segment-ask.ts";
import type { TransferReceipt } from "../../../contract/transfer/transfer-receipt.ts";
import { openSegmentBook } from "../../registry/segment-book.ts";
import { systemSegmentDisk } from "./segment-disk.ts";
import { createSegmentMover, finishedSegments, mayGo } from "./segment-mover.ts";
import { streamWorkload } from "./stream-world.fake.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const { x = "" } = publicKey.export({ format: "jwk" });
const KEY = { kty: "OKP", crv: "Ed25519", x, kid: "k", use: "sig", alg: "EdDSA" } as const;
const quiet = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined };
const NOW_MS = Date.parse("2026-01-15T12:00:00Z");

let directory: string;
let clock: FakeClock;
let life: AbortController;
let asks: SegmentAsk[];
let open: Set<string>;
let running: Promise<void>;
/** Rounds that are over: each writes to a real disk. */
let laps: number;
let counts: (id: string) => unknown;
/** What the hub says of a file. */
let answerOf: (name: string, bytes: number) => Partial<SegmentAnswer["segments"][number]>;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-mover-"));
  mkdirSync(join(directory, "rec"));
  clock = createFakeClock(NOW_MS);
  asks = [];
  open = new Set();
  laps = 0;
  answerOf = () => ({ state: "moving" });
  running = Promise.resolve();
});
afterEach(async () => {
  await stop();
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

const stop = async () => {
  life?.abort();
  await running.catch(() => undefined);
};
const pathOf = (minute: number) => join(directory, "rec", `20260115-11${String(minute).padStart(2, "0")}00.mkv`);
const record = (minute: number, text = "x".repeat(minute)) => {
  writeFileSync(pathOf(minute), text);
  const at = Date.parse(`2026-01-15T11:${String(minute).padStart(2, "0")}:59Z`) / 1000;
  utimesSync(pathOf(minute), at, at);
};
const receipt = (name: string, bytes: number, more: Partial<TransferReceipt> = {}) =>
  signToken(
    {
      aud: "sluice-receipt",
      rid: `rec-${name}`,
      source_path: join(directory, "rec", name),
      destination_path: `/archive/${name}`,
      source_box: "north-1",
      verify: "full",
      root: "0".repeat(64),
      bytes,
      files: 1,
      iat: 1,
      ...more,
    } satisfies TransferReceipt,
    { id: "k", privateKey },
  );

function begin(move: object = { to: "archive:/archive" }, isRunning = true) {
  life = new AbortController();
  const { signal } = life;
  const workload = streamWorkload({ input: "rtsp://cam/1", outputs: [{ url: join(directory, "rec/"), move }] });
  const mover = createSegmentMover(
    { intervalMs: 5000 },
    {
      boxId: "north-1",
      streams: () => [{ workload, pids: isRunning ? [1] : undefined }],
      disk: { ...systemSegmentDisk, openFiles: () => open, openAnywhere: () => open },
      openBook: () => openSegmentBook(join(directory, "moved.json"), { clock, log: quiet, signal }),
      ask: async (asked) => {
        asks.push(asked);
        const segments = asked.segments.map(({ name, bytes }) => ({
          name,
          request_id: `rec-${name}`,
          state: "moving" as const,
          reason: "",
          ...answerOf(name, bytes),
        }));
        return { segments, keys: [KEY] };
      },
      clock: {
        ...clock,
        delay: (ms, stop) => {
          laps++;
          return clock.delay(ms, stop);
        },
      },
      log: quiet,
    },
  );
  counts = mover.countsOf;
  const before = laps;
  running = mover.run(signal);
  return lapAfter(before);
}

const lapAfter = (before: number) =>
  vi.waitFor(() => expect(laps).toBeGreaterThan(before), { timeout: 20_000, interval: 5 });

/** So many rounds more; before the first of them so much time passes. */
async function rounds(count: number, ms = 0): Promise<void> {
  for (let at = 0; at < count; at++) {
    const before = laps;
    await clock.advance(5000 + (at === 0 ? ms : 0));
    await lapAfter(before);
  }
}
const names = (at = -1) => asks.at(at)?.segments.map(({ name }) => name.slice(9, 13));

describe("finished recordings", () => {
  test("are all but the newest, and none that a process holds open", async () => {
    for (const minute of [1, 2, 3]) record(minute);
    const found = systemSegmentDisk.find(join(directory, "rec"), /mkv$/);
    expect(finishedSegments(found, new Set()).map(({ path }) => path)).toEqual([pathOf(1), pathOf(2)]);
    const { dev, ino } = statSync(pathOf(1), { bigint: true });
    expect(finishedSegments(found, new Set([`${dev}:${ino}`])).map(({ path }) => path)).toEqual([pathOf(2)]);
    expect(finishedSegments([], new Set())).toEqual([]);
    expect(systemSegmentDisk.openFiles([process.pid]).size).toBeGreaterThan(2);
    const held = openSync(pathOf(1), "r");
    expect(systemSegmentDisk.openAnywhere().has(`${dev}:${ino}`)).toBe(true);
    closeSync(held);
    expect(systemSegmentDisk.openAnywhere().has(`${dev}:${ino}`)).toBe(false);
  });

  test("stay for their time, by the end of each", () => {
    const ended = { mtimeNs: BigInt(NOW_MS - 3_600_000) * 1_000_000n };
    expect(mayGo(ended, { to: "/x" }, NOW_MS)).toBe(true);
    expect(mayGo(ended, { to: "/x", keepHere: "1h" }, NOW_MS)).toBe(true);
    expect(mayGo(ended, { to: "/x", keepHere: "1h1s" }, NOW_MS)).toBe(false);
  });

  test("are told to the hub, and go when it shows a receipt for each", async () => {
    for (const minute of [1, 2, 3]) record(minute);
    await begin();
    expect(names()).toEqual(["1101", "1102"]);
    await rounds(3);
    expect([1, 2, 3].map((minute) => existsSync(pathOf(minute)))).toEqual([true, true, true]);
    answerOf = (name, bytes) => ({ state: "moved", receipt: receipt(name, bytes) });
    await rounds(2);
    expect([1, 2, 3].map((minute) => existsSync(pathOf(minute)))).toEqual([false, false, true]);
    const asked = asks.length;
    await rounds(3);
    expect(asks).toHaveLength(asked);
  });

  test("of a stream that does not run are all, the last too once it was not written for a minute and nobody holds it", async () => {
    for (const minute of [1, 2, 59]) record(minute);
    const { dev, ino } = statSync(pathOf(2), { bigint: true });
    open = new Set([`${dev}:${ino}`]);
    clock.stepWall(30_000);
    await begin({ to: "archive:/archive" }, false);
    // The third was written to 31 s ago.
    expect(names()).toEqual(["1101"]);
    open = new Set();
    await rounds(1, 30_000);
    expect(names()).toEqual(["1101", "1102", "1159"]);
  });

  test("that are to stay are not asked for again, not even by the next agent, and go in their time", async () => {
    for (const minute of [1, 2]) record(minute);
    answerOf = (name, bytes) => ({ state: "moved", receipt: receipt(name, bytes) });
    await begin({ to: "archive:/archive", keepHere: "2h" });
    await rounds(2);
    expect(asks).toHaveLength(1);
    await stop();
    answerOf = () => ({ state: "failed", reason: "nobody asks" });
    await begin({ to: "archive:/archive", keepHere: "2h" });
    await rounds(2);
    expect([asks.length, existsSync(pathOf(1))]).toEqual([1, true]);
    await rounds(2, 2 * 3_600_000);
    expect([existsSync(pathOf(1)), existsSync(pathOf(2))]).toEqual([false, true]);
  });

  test.each([
    ["no receipt", () => undefined],
    ["one of another file", (name: string, bytes: number) => receipt(name, bytes, { source_path: "/other" })],
    ["one of another size", (name: string, bytes: number) => receipt(name, bytes + 1)],
    ["one of another box", (name: string, bytes: number) => receipt(name, bytes, { source_box: "south" })],
    ["one that nobody signed", (name: string, bytes: number) => `${receipt(name, bytes).slice(0, -8)}AAAAAAAA`],
  ] as const)("stay where the hub shows %s", async (_, receiptOf) => {
    for (const minute of [1, 2]) record(minute);
    answerOf = (name, bytes) => {
      const shown = receiptOf(name, bytes);
      return { state: "moved", ...(shown === undefined ? {} : { receipt: shown }) };
    };
    await begin();
    await rounds(4);
    expect(existsSync(pathOf(1))).toBe(true);
    expect(asks.length).toBeGreaterThan(2);
  });

  test("are counted: what has moved also by earlier agents, what waits, what failed and why last", async () => {
    for (const minute of [1, 2, 3, 4]) record(minute);
    answerOf = (name, bytes) =>
      name.startsWith("20260115-1101")
        ? { state: "moved", receipt: receipt(name, bytes) }
        : name.startsWith("20260115-1102")
          ? { state: "failed", reason: "a disk is full" }
          : {};
    await begin();
    const at = new Date(NOW_MS).toISOString();
    expect(counts("cam-1")).toEqual({
      moved: 1,
      waiting: 1,
      failed: 1,
      lastError: { at, message: "a disk is full" },
    });
    await rounds(2);
    expect(counts("cam-1")).toMatchObject({ failed: 1, lastError: { at } });
    answerOf = (name, bytes) => ({ state: "moved", receipt: receipt(name, bytes) });
    await rounds(2);
    const done = { moved: 3, waiting: 0, failed: 0 };
    expect(counts("cam-1")).toMatchObject({ ...done, lastError: { at } });
    expect(counts("another")).toBeUndefined();
    await stop();
    await begin();
    expect(counts("cam-1")).toEqual(done);
  });

  test("stay where they were changed after they had arrived, and are told anew", async () => {
    for (const minute of [1, 2]) record(minute);
    answerOf = (name, bytes) => ({ state: "moved", receipt: receipt(name, bytes) });
    await begin({ to: "/archive", keepHere: "2h" });
    record(1, "somebody has repaired it");
    answerOf = () => ({ state: "moving" });
    await rounds(2, 3 * 3_600_000);
    expect(existsSync(pathOf(1))).toBe(true);
    expect(asks.at(-1)?.segments).toMatchObject([{ bytes: "somebody has repaired it".length }]);
  });
});
