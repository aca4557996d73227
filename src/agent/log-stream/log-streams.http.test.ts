import { appendFile, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { createMemoryLog } from "../../base/log.ts";
import { type LogRecord, logRecordSchema } from "../../contract/fleet/log-line.ts";
import { createLogStreams, type LogStreams, MAX_STREAMS } from "./log-streams.ts";

interface Upload {
  readonly request: IncomingMessage;
  readonly text: () => string;
  readonly records: () => LogRecord[];
  readonly closed: Promise<void>;
}

let directory: string;
let path: string;
let uploads: Upload[];
let streams: LogStreams;
let life: AbortController;
let done: Promise<void>;
let isReading = true;
let answerStatus: number | undefined;

const server = createServer((request, response) => {
  if (answerStatus !== undefined) return void response.writeHead(answerStatus).end();
  let text = "";
  const closed = new Promise<void>((resolve) => request.once("close", resolve));
  request.on("error", () => undefined);
  if (isReading) request.on("data", (chunk) => (text += String(chunk)));
  request.on("end", () => response.writeHead(204).end());
  const records = () =>
    text
      .split("\n")
      .slice(0, -1)
      .filter((line) => line !== "")
      .map((line) => logRecordSchema.parse(JSON.parse(line)));
  uploads.push({ request, text: () => text, records, closed });
});

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-logs-"));
  path = join(directory, "cam-1.log");
  uploads = [];
  isReading = true;
  answerStatus = undefined;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  streams = createLogStreams(
    { hub: `http://127.0.0.1:${port}/`, boxId: "north-1" },
    {
      clock: systemClock,
      log: createMemoryLog(),
      redact: (text) => text.replaceAll("canary", "***"),
      logFile: (source) => (source === "cam-1" ? path : undefined),
      token: async () => "key-of-the-box",
      trust: () => ({}),
    },
  );
  life = new AbortController();
  done = streams.run(life.signal);
});
afterEach(async () => {
  life.abort();
  await done;
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(directory, { recursive: true, force: true });
});

const open = (stream: string, given: Record<string, unknown> = {}) =>
  streams.open({ stream, workload: "cam-1", tail: 100, follow: true, ...given });

async function until(predicate: () => boolean, what: string, timeoutMs = 30_000): Promise<void> {
  const endMs = systemClock.monotonicMs() + timeoutMs;
  while (!predicate()) {
    if (systemClock.monotonicMs() > endMs) throw new RangeError(`not within ${timeoutMs} ms: ${what}`);
    await systemClock.delay(20);
  }
}
const texts = (index = 0) =>
  (uploads[index]?.records() ?? []).flatMap((one) => (one.type === "line" ? [one.text] : []));
const gaps = (index = 0) => (uploads[index]?.records() ?? []).filter(({ type }) => type === "gap");

test("the last lines go to the hub with the box's key, secrets taken out, and the end is told", async () => {
  await writeFile(path, "one\ntwo\ncanary three\n");
  expect(await open("s1", { tail: 2, follow: false })).toBe("the upload has begun");
  await until(() => streams.count() === 0 && uploads.length === 1, "the upload ends");
  expect(uploads[0]?.request.url).toBe("/v1/boxes/north-1/log-streams/s1");
  expect(uploads[0]?.request.headers.authorization).toBe("Bearer key-of-the-box");
  expect(uploads[0]?.records()).toEqual([
    { type: "line", source: "cam-1", text: "two" },
    { type: "line", source: "cam-1", text: "*** three" },
    { type: "end", reason: "all was read" },
  ]);
});

test("A12: every line comes once while the log is rotated again and again", async () => {
  await writeFile(path, "line 0\n");
  await open("s1");
  const count = 400;
  for (let index = 1; index < count; index++) {
    await appendFile(path, `line ${index}\n`);
    if (index % 50 !== 0) continue;
    // Four files are kept: the reader, slow as the machine may be, is never further behind than two of them.
    await until(() => texts().length >= index - 100, `line ${index - 100} has come`);
    for (const [from, to] of [
      [".3", ".4"],
      [".2", ".3"],
      [".1", ".2"],
      ["", ".1"],
    ]) {
      await rename(`${path}${from}`, `${path}${to}`).catch(() => undefined);
    }
  }
  await until(() => texts().length >= count, "all lines have come");
  expect(texts()).toEqual(Array.from({ length: count }, (_, index) => `line ${index}`));
  expect(gaps()).toEqual([]);
});

test("A12: what was rotated away before it was read is told as a gap", async () => {
  await writeFile(path, "line 0\n");
  await open("s1");
  await until(() => texts().length === 1, "the first line");
  for (let index = 0; index < 5; index++) {
    await rm(`${path}.1`, { force: true });
    await rename(path, `${path}.1`);
    await writeFile(path, `later ${index}\n`);
  }
  await until(() => texts().includes("later 4"), "the newest line");
  expect(gaps()).toContainEqual({ type: "gap", reason: "the log was rotated away faster than it was read" });
});

test("A12: a line of 10 MB and bytes that are no text harm nobody", async () => {
  await writeFile(path, Buffer.concat([Buffer.alloc(10 * 1024 * 1024, 0x78), Buffer.from("\n")]));
  await appendFile(path, Buffer.from([0xff, 0xfe, 0x00, 0x1b, 0x5b, 0x0a]));
  await appendFile(path, "after\n");
  await open("s1", { follow: false });
  await until(() => streams.count() === 0 && uploads.length === 1, "the upload ends", 20_000);
  const records = uploads[0]?.records() ?? [];
  expect(texts().slice(-2)).toEqual(["\ufffd\ufffd\0\u001b[", "after"]);
  const cut = records.reduce((sum, one) => sum + (one.type === "gap" ? (one.bytes ?? 0) : 0), 0);
  const shown = texts()[0]?.length ?? 0;
  // The tail is searched within 8 MiB.
  expect(cut + shown).toBeGreaterThan(7 * 1024 * 1024);
  expect(Math.max(...(uploads[0]?.text() ?? "").split("\n").map((line) => line.length))).toBeLessThan(65_536);
}, 30_000);

test("A13: a reader that takes nothing costs no memory while the log floods", async () => {
  isReading = false;
  const line = `${"flood ".repeat(20)}\n`;
  await writeFile(path, line.repeat(100));
  await open("s1");
  await until(() => uploads.length === 1, "the upload begins");
  await appendFile(path, line.repeat(20_000));
  global.gc?.();
  const before = process.memoryUsage().rss;
  for (let index = 0; index < 30; index++) {
    await appendFile(path, line.repeat(10_000));
    await systemClock.delay(10);
  }
  // 36 MB were written; the kernel's buffers and one piece are all that is held.
  expect(process.memoryUsage().rss - before).toBeLessThan(30 * 1024 * 1024);
});

test.each(["while lines come", "while nothing comes"])(
  "the upload ends within 5 s when its reader is gone %s",
  async (when) => {
    await writeFile(path, "one\n");
    await open("s1");
    await until(() => texts().length === 1, "the first line");
    const writer = new AbortController();
    const writing = (async () => {
      while (!writer.signal.aborted && when === "while lines come") {
        await appendFile(path, "more\n");
        await systemClock.delay(5);
      }
    })();
    uploads[0]?.request.destroy();
    await until(() => streams.count() === 0, "the upload has ended", 5000);
    writer.abort();
    await writing;
  },
);

test("an answer that comes before the end, and a hub that is not there, end the upload", async () => {
  await writeFile(path, "one\n");
  answerStatus = 404;
  await open("s1");
  await until(() => streams.count() === 0, "the upload has ended");
  await open("s2", { url: "http://127.0.0.1:1/v1/boxes/north-1/log-streams/s2" });
  await until(() => streams.count() === 0, "the upload has ended");
});

test("so many at once and no more, and one stream once", async () => {
  await writeFile(path, "one\n");
  for (let index = 0; index < MAX_STREAMS; index++) await open(`s${index}`);
  await until(() => uploads.length === MAX_STREAMS, "all uploads have begun");
  await expect(open("one-more")).rejects.toMatchObject({ code: "exhausted" });
  expect(await open("s0")).toBe("it is uploaded already");
  uploads[0]?.request.destroy();
  await until(() => streams.count() < MAX_STREAMS, "one has ended");
  await open("one-more");
});

test("arguments that are wrong are refused with their reason", async () => {
  await expect(open("s", { workload: "../agent" })).rejects.toMatchObject({ code: "not-found" });
  await expect(open("s", { tail: "all" })).rejects.toMatchObject({ code: "invalid", field: "tail" });
  await expect(open("s", { since: "yesterday" })).rejects.toMatchObject({ code: "invalid", field: "since" });
  await expect(open("s", { url: "ftp://elsewhere/" })).rejects.toMatchObject({ code: "refused" });
  expect(streams.count()).toBe(0);
});

test("the end of the agent ends every upload", async () => {
  await writeFile(path, "one\n");
  await open("s1");
  await until(() => uploads.length === 1, "the upload begins");
  life.abort();
  await done;
  expect(streams.count()).toBe(0);
  await uploads[0]?.closed;
});
