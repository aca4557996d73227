import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { replaceFile } from "./atomic-file.ts";
import { createFakeClock } from "./clock.fake.ts";
import { systemClock } from "./clock.ts";
import { createDocumentWriter } from "./document-writer.ts";
import { createMemoryLog } from "./log.ts";
import { createSpawner } from "./spawn.ts";

const FORMAT = { format: "test", version: 1, minReader: 1 };

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-writer-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

interface Disk {
  readonly replace: typeof replaceFile;
  readonly texts: string[];
  /** Set: the next writes fail with it. */
  error: string | undefined;
  /** Set: writes wait for it. */
  gate: Promise<void> | undefined;
}

function fakeDisk(): Disk {
  const disk: Disk = {
    texts: [],
    error: undefined,
    gate: undefined,
    replace: async (_path, text) => {
      await disk.gate;
      if (disk.error !== undefined) throw Object.assign(new Error("refused"), { code: disk.error });
      disk.texts.push(text);
    },
  };
  return disk;
}

function open(disk: Disk, currentText?: string) {
  const clock = createFakeClock();
  const log = createMemoryLog();
  const stop = new AbortController();
  const state = { n: 0 };
  const writer = createDocumentWriter(
    { ...FORMAT, path: join(directory, "x.json"), isCurrentGood: currentText !== undefined, currentText },
    { clock, log, signal: stop.signal, snapshot: () => state, replace: disk.replace },
  );
  const set = (n: number) => {
    state.n = n;
    writer.changed();
  };
  const dataOf = (text: string | undefined) => JSON.parse(text ?? "{}").data?.n;
  return { clock, log, stop, writer, set, written: () => disk.texts.map(dataOf) };
}

describe("the document writer", () => {
  test("makes one write of many changes, and one more of all that come meanwhile", async () => {
    const disk = fakeDisk();
    const { writer, set, written } = open(disk);
    const gate = Promise.withResolvers<void>();
    disk.gate = gate.promise;
    for (let n = 1; n <= 10; n++) set(n);
    const first = writer.commit();
    await Promise.resolve();
    await Promise.resolve();
    for (let n = 11; n <= 20; n++) set(n);
    const second = writer.commit();
    gate.resolve();
    await Promise.all([first, second]);
    expect(written()).toEqual([10, 20]);
  });

  test("a commit waits for the change that came before it", async () => {
    const disk = fakeDisk();
    const { writer, set, written } = open(disk);
    await writer.commit();
    expect(written()).toEqual([]);
    set(1);
    await writer.commit();
    expect(written()).toEqual([1]);
    expect(writer.status()).toEqual({ durable: true });
  });

  test("writes nothing when nothing changed", async () => {
    const disk = fakeDisk();
    const { writer, set, written } = open(disk, '{"n":7}');
    set(7);
    await writer.commit();
    set(8);
    set(7);
    await writer.commit();
    expect(written()).toEqual([]);
  });

  test("goes on from memory when the disk refuses, does not ask it at every change, and recovers by itself", async () => {
    const disk = fakeDisk();
    const { clock, log, writer, set, written } = open(disk);
    disk.error = "ENOSPC";
    set(1);
    await writer.commit();
    expect(writer.status()).toEqual({ durable: false, reason: "ENOSPC" });
    disk.error = undefined;
    for (let n = 2; n <= 50; n++) {
      set(n);
      await writer.commit();
    }
    expect(written()).toEqual([]);
    await clock.advance(5000);
    expect(written()).toEqual([50]);
    expect(writer.status()).toEqual({ durable: true });
    set(51);
    await writer.commit();
    expect(written()).toEqual([50, 51]);
    expect(log.lines).toEqual([
      "[ERROR] x.json cannot be written (ENOSPC): going on from memory",
      "[INFO] x.json is written again",
    ]);
    expect(clock.pending()).toBe(0);
  });

  test("tries a broken disk again later and later", async () => {
    const disk = fakeDisk();
    disk.error = "EIO";
    let attempts = 0;
    const replace: typeof replaceFile = (...args) => {
      attempts += 1;
      return disk.replace(...args);
    };
    const counting: Disk = { ...disk, replace };
    const { clock, set, stop } = open(counting);
    set(1);
    await clock.advance(3_600_000);
    expect(attempts).toBeGreaterThan(12);
    expect(attempts).toBeLessThan(25);
    stop.abort();
    expect(clock.pending()).toBe(0);
  });

  test("does not wait for a disk that hangs, and notices when it comes back", async () => {
    const disk = fakeDisk();
    const { clock, writer, set, written } = open(disk);
    const gate = Promise.withResolvers<void>();
    disk.gate = gate.promise;
    set(1);
    const committed = writer.commit();
    await clock.advance(2000);
    await committed;
    expect(writer.status()).toEqual({ durable: false, reason: "the disk has not answered for 2 s" });
    set(2);
    gate.resolve();
    await clock.advance(0);
    expect(written()).toEqual([1, 2]);
    expect(writer.status()).toEqual({ durable: true });
  });
});

test("on a full disk the old file stays whole, and the new one comes when there is room", async ({ skip }) => {
  const spawner = createSpawner({ ambient: process.env }, { clock: systemClock });
  const limits = { timeoutMs: 5000, maxOutputBytes: 1000 };
  const mount = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", directory];
  const mounted = await spawner.runProgram("mount", mount, limits).catch(() => undefined);
  skip(mounted?.code !== 0, "needs root to mount a small tmpfs");
  try {
    const path = join(directory, "x.json");
    const clock = createFakeClock();
    const state = { n: 1, filler: "" };
    const writer = createDocumentWriter(
      { ...FORMAT, path, isCurrentGood: false },
      { clock, log: createMemoryLog(), signal: new AbortController().signal, snapshot: () => state },
    );
    writer.changed();
    await writer.commit();
    writeFileSync(join(directory, "hog"), Buffer.alloc(56 * 1024));
    Object.assign(state, { n: 2, filler: "x".repeat(20_000) });
    writer.changed();
    await writer.commit();
    expect(writer.status()).toEqual({ durable: false, reason: "ENOSPC" });
    expect(JSON.parse(readFileSync(path, "utf8")).data.n).toBe(1);
    rmSync(join(directory, "hog"));
    await clock.advance(5000);
    await expect.poll(() => writer.status()).toEqual({ durable: true });
    expect(JSON.parse(readFileSync(path, "utf8")).data.n).toBe(2);

    const remount = (mode: string) => spawner.runProgram("mount", ["-o", `remount,${mode}`, directory], limits);
    await remount("ro");
    state.n = 3;
    writer.changed();
    await writer.commit();
    expect(writer.status()).toEqual({ durable: false, reason: "EROFS" });
    await remount("rw");
    await clock.advance(5000);
    await expect.poll(() => writer.status()).toEqual({ durable: true });
    expect(JSON.parse(readFileSync(path, "utf8")).data.n).toBe(3);
  } finally {
    await spawner.runProgram("umount", [directory], limits);
  }
});
