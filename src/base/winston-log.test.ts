import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "./clock.fake.ts";
import { createWinstonLog, type WinstonLogOptions } from "./winston-log.ts";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-log-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function open(options: Partial<WinstonLogOptions> = {}) {
  const stream = new PassThrough();
  const clock = createFakeClock(new Date(2026, 0, 15, 10, 30, 45).getTime());
  const filePath = join(directory, "logs.log");
  const sink = createWinstonLog(
    { level: "info", filePath, maxFileBytes: 1_000_000, keepFiles: 3, console: "plain", ...options },
    { clock, redact: (text) => text.replaceAll("hunter22", "***"), stream },
  );
  const written = async () => {
    await sink.close();
    return String(stream.read() ?? "");
  };
  return { sink, written, stream, filePath };
}

test("one line goes to the terminal and to the file, without secrets", async () => {
  const { sink, written, filePath } = open();
  sink.for("STREAM").info("Started cam-1 → rtmp://host/live/hunter22");
  const line = "[2026-01-15 10:30:45] [INFO] [STREAM] Started cam-1 → rtmp://host/live/***\n";
  expect(await written()).toBe(line);
  expect(await readFile(filePath, "utf8")).toBe(line);
});

test("the journal gets a priority and no time", async () => {
  const { sink, written } = open({ console: "journal", level: "debug" });
  sink.for("SSE").error("a");
  sink.for("SSE").warn("b\nforged");
  sink.for("SSE").info("c");
  sink.for("SSE").debug("d");
  expect(await written()).toBe("<3>[SSE] a\n<4>[SSE] b forged\n<6>[SSE] c\n<7>[SSE] d\n");
});

test("the level holds lines back", async () => {
  const { sink, written } = open({ level: "warn" });
  sink.for("INIT").info("quiet");
  sink.for("INIT").warn("loud");
  expect(await written()).toContain("loud");
  expect(await written()).not.toContain("quiet");
});

test("a file that grows is rotated and only so many are kept", async () => {
  const { sink } = open({ console: "off", maxFileBytes: 2000 });
  for (let line = 0; line < 200; line++) {
    sink.for("INIT").info(`line ${line}`);
    if (line % 10 === 9) await sink.close();
  }
  await sink.close();
  expect((await readdir(directory)).sort()).toEqual(["logs.log", "logs.log.1", "logs.log.2"]);
  expect(await readFile(join(directory, "logs.log"), "utf8")).toContain("line 199");
});

test("neither a file that cannot be written nor a terminal that went away stops anything", async () => {
  const { sink, stream, written } = open({ filePath: join(directory, "missing/dir/x.log") });
  sink.for("INIT").info("one");
  expect(await written()).toContain("one");
  stream.destroy(new TypeError("gone"));
  sink.for("INIT").info("two");
  await sink.close();
  expect(stream.destroyed).toBe(true);
});
