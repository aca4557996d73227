import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createMemoryLog } from "../../base/log.ts";
import type { Workload } from "../../contract/workload.ts";
import { systemStreamDisk } from "../workload/stream/stream-disk.ts";
import { createDiskWatch, type DiskWatchOptions } from "./disk-watch.ts";
import { systemRecordingFiles } from "./recording-files.ts";

const KIB = 1024;
let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "sluice-disk-watch-")));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const recorder = (directory = root): ReadonlyMap<string, Workload> => {
  const outputs = [{ url: `file://${directory}/cam.mkv` }];
  return new Map([["cam", { kind: "stream", id: "cam", spec: { input: { url: "test://bars" }, outputs } }]]);
};

/** Three recordings of a day, the last of them still being written, and files that no stream wrote. */
function record() {
  const names = ["cam-20260101-000000.mkv", "cam-20260101-010000.mkv", "cam-20260101-020000.mkv"];
  for (const [index, name] of names.entries()) {
    writeFileSync(join(root, name), Buffer.alloc(64 * KIB, 1));
    utimesSync(join(root, name), 1000 + index, 1000 + index);
  }
  writeFileSync(join(root, "holiday.mkv"), Buffer.alloc(64 * KIB, 1));
  utimesSync(join(root, "holiday.mkv"), 1, 1);
  mkdirSync(join(root, "cam-20250101-000000.mkv"));
  symlinkSync(join(root, "holiday.mkv"), join(root, "cam-20240101-000000.mkv"));
}

function createWatch(options: Partial<DiskWatchOptions>, freeBytes = 1e12) {
  const log = createMemoryLog();
  const told: string[] = [];
  const files = { ...systemRecordingFiles, freeBytes: async () => freeBytes };
  const watch = createDiskWatch(
    { diskFreeBytes: 0, recordingsBytes: undefined, deleteRecordings: false, fileRoots: [root], ...options },
    {
      log,
      disk: systemStreamDisk,
      files,
      onOccurrence: ({ kind }) => void told.push(kind),
      onChange: () => undefined,
    },
  );
  return { watch, log, told };
}

test("over their budget recordings pause, and nothing is deleted unless somebody said so", async () => {
  record();
  const { watch, told } = createWatch({ recordingsBytes: 100 * KIB });
  await watch.look(recorder());
  expect([...watch.paused().keys()]).toEqual([root]);
  expect(told).toEqual(["recording-paused"]);
  expect(readdirSync(root)).toHaveLength(6);
  expect(watch.status()).toMatchObject([{ root, recordedBytes: 192 * KIB, paused: expect.stringContaining("budget") }]);
});

test("told to delete, it takes the oldest that streams recorded, and neither others' files nor the open one", async () => {
  record();
  const { watch, told } = createWatch({ recordingsBytes: 140 * KIB, deleteRecordings: true });
  await watch.look(recorder());
  expect(watch.paused().size).toBe(0);
  expect(told).toEqual(["recordings-deleted"]);
  expect(readdirSync(root)).not.toContain("cam-20260101-000000.mkv");
  expect(readdirSync(root)).toHaveLength(5);
});

test("when what may go is not enough, the rest stays and recording pauses", async () => {
  record();
  const { watch } = createWatch({ diskFreeBytes: 1e9, deleteRecordings: true }, 1e8);
  await watch.look(recorder());
  expect([...watch.paused().keys()]).toEqual([root]);
  expect(readdirSync(root).sort()).toEqual([
    "cam-20240101-000000.mkv",
    "cam-20250101-000000.mkv",
    "cam-20260101-020000.mkv",
    "holiday.mkv",
  ]);
});

test("without a stream that records nobody looks at the disk", async () => {
  const { watch } = createWatch({ diskFreeBytes: 1e9 }, 0);
  await watch.look(new Map());
  expect(watch.status()).toEqual([]);
  await watch.look(recorder());
  expect(watch.status()).toMatchObject([{ root, freeBytes: 0 }]);
});

test("a disk that hangs holds up one look, and no others queue behind it", async () => {
  const { promise, resolve } = Promise.withResolvers<number>();
  let asked = 0;
  const watch = createDiskWatch(
    { diskFreeBytes: 1, recordingsBytes: undefined, deleteRecordings: false, fileRoots: [root] },
    {
      log: createMemoryLog(),
      disk: systemStreamDisk,
      files: {
        ...systemRecordingFiles,
        freeBytes: () => {
          asked += 1;
          return promise;
        },
      },
      onOccurrence: () => undefined,
      onChange: () => undefined,
    },
  );
  const looks = [watch.look(recorder()), watch.look(recorder()), watch.look(recorder())];
  await new Promise((settled) => setImmediate(settled));
  expect(asked).toBe(1);
  resolve(100);
  await Promise.all(looks);
  expect(watch.paused().size).toBe(0);
});

test("the free space of a real directory is read, and that of none is not known", async () => {
  expect(await systemRecordingFiles.freeBytes(root)).toBeGreaterThan(0);
  expect(await systemRecordingFiles.freeBytes(join(root, "none"))).toBeUndefined();
});
