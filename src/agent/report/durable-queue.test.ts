import { appendFileSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AppError } from "../../base/errors.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createDurableQueue } from "./durable-queue.ts";
import { createQueueFile, type QueueFile } from "./queue-file.ts";
import type { QueueEntry } from "./report-queue.ts";

const BOUNDS = { maxEntries: 10, maxBytes: 10_000 };
const entry = (text: string): QueueEntry => ({
  kind: "occurrence",
  value: { at: "2026-01-15T10:30:45Z", kind: "exit", text },
});
const textsOf = (entries: readonly QueueEntry[]) => entries.map(({ value }) => ("text" in value ? value.text : ""));

describe("durable queue", () => {
  let directory: string;
  let path: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "sluice-queue-"));
    path = join(directory, "reports.jsonl");
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const open = async (file: QueueFile = createQueueFile(path, 1e6)) => {
    const log = createMemoryLog();
    const queue = createDurableQueue(BOUNDS, file, log);
    await queue.load();
    return { queue, log };
  };

  it.each([
    ["a link to somebody else's file", (to: string) => symlinkSync(to, path)],
    ["a directory", () => void mkdirSync(path)],
  ])("is kept on disk in the place of %s", async (_what, make) => {
    const precious = join(directory, "precious");
    writeFileSync(precious, "somebody else's");
    make(precious);
    const { queue } = await open();
    queue.push(entry("a"));
    await queue.settled();
    expect(readFileSync(precious, "utf8")).toBe("somebody else's");
    expect(readFileSync(path, "utf8")).toContain('"a"');
  });

  it("survives its process, in order, and takes back what was pushed before it was read", async () => {
    const first = await open();
    for (const text of ["a", "b", "c"]) first.queue.push(entry(text));
    await first.queue.settled();
    expect(statSync(path).mode & 0o777).toBe(0o600);

    const second = createDurableQueue(BOUNDS, createQueueFile(path, 1e6), createMemoryLog());
    second.push(entry("d"));
    await second.load();
    await second.settled();
    expect(textsOf(second.view().entries)).toEqual(["a", "b", "c", "d"]);
    expect(textsOf((await open()).queue.view().entries)).toEqual(["a", "b", "c", "d"]);
  });

  it("removes the file when all is delivered, and writes nothing when nothing changes", async () => {
    const { queue } = await open();
    queue.push(entry("a"));
    await queue.settled();
    queue.delivered(queue.view().entries, 0);
    await queue.settled();
    expect(existsSync(path)).toBe(false);
    queue.delivered([], 0);
    await queue.settled();
    expect(existsSync(path)).toBe(false);
  });

  it("keeps the rest and the count of what it dropped when a part is delivered", async () => {
    const { queue } = await open();
    for (let index = 0; index < 12; index++) queue.push(entry(String(index)));
    await queue.settled();
    const { queue: again } = await open();
    expect(again.view()).toMatchObject({ dropped: 2, entries: { length: 10 } });
    again.delivered(again.view().entries.slice(0, 9), 2);
    await again.settled();
    const { queue: last } = await open();
    expect(last.view().dropped).toBe(0);
    expect(textsOf(last.view().entries)).toEqual(["11"]);
  });

  it("goes on after a torn last line without gluing the next one to it", async () => {
    const { queue } = await open();
    queue.push(entry("a"));
    await queue.settled();
    appendFileSync(path, '{"kind":"occurr');
    const { queue: again } = await open();
    again.push(entry("b"));
    await again.settled();
    expect(readFileSync(path, "utf8").split("\n")).toHaveLength(3);
    expect(textsOf((await open()).queue.view().entries)).toEqual(["a", "b"]);
  });

  it("goes on in memory while the disk refuses, says so once, and writes all when it may again", async () => {
    const real = createQueueFile(path, 1e6);
    let isFull = true;
    const guard = (write: (text: string) => Promise<void>) => async (text: string) => {
      if (isFull) throw new AppError("storage", "ENOSPC: no space left on device");
      await write(text);
    };
    const { queue, log } = await open({ ...real, append: guard(real.append), replace: guard(real.replace) });
    queue.push(entry("a"));
    await queue.settled();
    queue.push(entry("b"));
    await queue.settled();
    expect(textsOf(queue.view().entries)).toEqual(["a", "b"]);
    isFull = false;
    queue.push(entry("c"));
    await queue.settled();
    expect(log.lines).toEqual([
      "[WARN] The queue of reports is kept in memory only: ENOSPC: no space left on device",
      "[INFO] The queue of reports is on disk again",
    ]);
    expect(textsOf((await open()).queue.view().entries)).toEqual(["a", "b", "c"]);
  });

  it("takes an emptied queue for no proof that the disk writes again", async () => {
    const refuse = async () => {
      throw new AppError("storage", "ENOSPC: no space left on device");
    };
    const { queue, log } = await open({ ...createQueueFile(path, 1e6), append: refuse, replace: refuse });
    for (const text of ["a", "b"]) {
      queue.push(entry(text));
      await queue.settled();
      queue.delivered(queue.view().entries, 0);
      await queue.settled();
    }
    expect(log.lines).toEqual(["[WARN] The queue of reports is kept in memory only: ENOSPC: no space left on device"]);
  });

  it("does not read a file that is far too large to be its own", async () => {
    appendFileSync(path, "x".repeat(2000));
    const { queue } = await open(createQueueFile(path, 1000));
    expect(queue.view().entries).toEqual([]);
  });
});
