import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createFakeClock } from "../../../base/clock.fake.ts";
import { systemClock } from "../../../base/clock.ts";
import { createSpawner } from "../../../base/spawn.ts";
import { rawCursorPath, rawStdoutPath } from "../process/workload-files.ts";
import { createFileStartFreer } from "./free-file-start.ts";
import { createLogLedger } from "./log-ledger.ts";
import type { OutputOwner } from "./output-owner.ts";
import { createSessionOutputs, SESSION_LOG_OPTIONS, type SessionOutputsOptions } from "./session-outputs.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-session-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const files = () => ({
  directory: join(directory, "app"),
  progressPath: join(directory, "app.progress"),
  rawOutputPath: join(directory, "app.output"),
  logPath: join(directory, "logs", "app.log"),
  previewPath: join(directory, "app.jpg"),
});
const OWNER: OutputOwner = { workloadId: "app", kind: "session" };

const open = (
  overrides: Partial<SessionOutputsOptions> = {},
  freeStart = async (_path: string, _bytes: number) => true,
) => {
  const clock = createFakeClock();
  const options = { ...SESSION_LOG_OPTIONS, maxLineBytes: 8192, tailLines: 40 };
  const { maxFileBytes, ...rest } = options;
  const outputs = createSessionOutputs(
    { ...rest, maxFileBytes: () => maxFileBytes, ...overrides },
    {
      clock,
      redact: (text) => text.replaceAll("s3cret-key", "***"),
      journal: undefined,
      freeStart,
      onRotate: () => undefined,
      ledger: createLogLedger(),
    },
  );
  return { outputs, clock };
};
const write = (bytes: string | Buffer, output: "stdout" | "stderr" = "stdout") =>
  appendFileSync(output === "stdout" ? rawStdoutPath(files()) : files().rawOutputPath, bytes);
/** All of the log, oldest first, without times. */
function linesOf(): string[] {
  const { logPath } = files();
  const paths = [5, 4, 3, 2, 1].map((index) => `${logPath}.${index}`).filter((path) => existsSync(path));
  return [...paths, logPath]
    .map((path) => (existsSync(path) ? readFileSync(path, "utf8") : ""))
    .join("")
    .split("\n")
    .slice(0, -1)
    .map((line) => line.replace(/^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] /, ""));
}
const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => `line ${from + index}\n`).join("");
const logged = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => `[stdout] line ${from + index}`);

test("both outputs are in one log, each line with its own, secrets taken out, and progress is lines", async () => {
  const { outputs } = open();
  write("key s3cret-key\n\n50%\r100%\r\n");
  write("\u001b[31mwarning\n", "stderr");
  outputs.attach("app", files(), OWNER);
  outputs.lap();
  await expect
    .poll(linesOf)
    .toEqual(["[stdout] key ***", "[stdout] ", "[stdout] 50%", "[stdout] 100%", "[stderr] \\x1b[31mwarning"]);
  write("prompt: ");
  expect(outputs.tail("app").at(-1)).toBe("prompt: ");
  outputs.detach("app");
  await expect.poll(() => linesOf().at(-1)).toBe("[stdout] prompt: ");
  expect(statSync(files().logPath).mode & 0o777).toBe(0o600);
  await outputs.close();
});

test("a session that runs again goes on in the same log, and a successor of the agent where the last one was", async () => {
  const first = open();
  write(numbered(0, 100));
  first.outputs.attach("app", files(), OWNER);
  first.outputs.detach("app");
  first.outputs.attach("app", files(), OWNER);
  write(numbered(100, 200));
  first.outputs.lap();
  await first.outputs.close();
  write("line 200");
  const second = open();
  second.outputs.attach("app", files(), OWNER);
  write(`\n${numbered(201, 300)}`);
  await second.outputs.close();
  expect(linesOf()).toEqual(logged(0, 300));
});

describe("after a kill of the agent at any moment every line is there once", () => {
  test.each([
    ["before the first batch was written", "none"],
    ["after a batch was written and before that was noted", "noted"],
    ["after a batch began a new file", "rotated"],
  ])("%s", async (_, when) => {
    const small = when === "rotated" ? { maxFileBytes: () => 4000 } : {};
    const first = open(small);
    write(numbered(0, 100));
    first.outputs.attach("app", files(), OWNER);
    first.outputs.lap();
    await expect.poll(() => linesOf().length).toBe(100);
    // What the cursor said before the batch that is written now.
    await first.outputs.close();
    const cursor = readFileSync(rawCursorPath(files()));
    const next = open(small);
    write(numbered(100, 160));
    next.outputs.attach("app", files(), OWNER);
    next.outputs.lap();
    await next.outputs.close();
    expect(existsSync(`${files().logPath}.1`)).toBe(when === "rotated");
    if (when === "none") {
      rmSync(rawCursorPath(files()));
      rmSync(files().logPath);
    } else writeFileSync(rawCursorPath(files()), cursor);
    const last = open(small);
    write(numbered(160, 200));
    last.outputs.attach("app", files(), OWNER);
    last.outputs.lap();
    await last.outputs.close();
    expect(linesOf()).toEqual(logged(0, 200));
  });
});

test("a line of 10 MB is whole in the log, in pieces that say so, and so are random bytes after it", async () => {
  const { outputs } = open();
  const long = Buffer.alloc(13 * 806_597, "0123456789€");
  const noise = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 7919) % 256)).filter(
    (byte) => byte !== 10 && byte !== 13,
  );
  write(Buffer.concat([long, Buffer.from("\n"), noise, Buffer.from("\nafter\n")]));
  outputs.attach("app", files(), OWNER);
  outputs.lap();
  await outputs.close();
  const lines = linesOf();
  expect(lines.at(-1)).toBe("[stdout] after");
  const pieces = lines.slice(0, lines.findIndex((line) => line.startsWith("[stdout] ")) + 1);
  expect(pieces.length).toBeGreaterThan(1000);
  expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(8192 + "[stdout+] ".length);
  expect(Buffer.from(pieces.map((piece) => piece.replace(/^\[stdout\+?\] /, "")).join("")).equals(long)).toBe(true);
  expect(lines.at(-2)?.match(/\\x[0-9a-f]{2}/g)?.length).toBeGreaterThan(1000);
});

test("of a flood what the log does not take is counted to the byte, its end is kept, and its file does not grow", async () => {
  const spawner = createSpawner({ ambient: process.env }, { clock: systemClock });
  const freeStart = createFileStartFreer(spawner.runProgram);
  const { outputs, clock } = open({ burstBytes: 300_000, bytesPerSecond: 100_000 }, freeStart);
  outputs.attach("app", files(), OWNER);
  let written = 0;
  let line = 0;
  for (let round = 0; round < 10; round++) {
    const text = Array.from({ length: 20_000 }, () => `${String(line++).padStart(9, "0")} ${"x".repeat(40)}\n`).join(
      "",
    );
    written += text.length;
    write(text);
    await clock.advance(1000);
    outputs.lap();
    await systemClock.delay(20);
  }
  outputs.detach("app");
  await outputs.close();
  const lines = linesOf();
  const gaps = lines.flatMap(
    (text) => /^\[gap\] (\d+) bytes: stdout: more came than the log takes$/.exec(text)?.[1] ?? [],
  );
  const kept = lines.filter((text) => text.startsWith("[stdout] "));
  const keptBytes = kept.reduce((sum, text) => sum + text.length - "[stdout] ".length + 1, 0);
  const lost = gaps.reduce((sum, bytes) => sum + Number(bytes), 0);
  expect(gaps.length).toBeGreaterThan(3);
  expect(keptBytes + lost).toBe(written);
  expect(keptBytes).toBeLessThan(2_500_000);
  expect(kept.at(-1)).toContain(String(line - 1).padStart(9, "0"));
  // What was read was given back: of ten million bytes nothing like that stands in the run directory.
  expect(statSync(rawStdoutPath(files())).blocks * 512).toBeLessThan(2_000_000);
});

test("where a file's start cannot be given back it is cut off once all was read", async () => {
  const { outputs } = open({}, async () => false);
  write(`${"x".repeat(300_000)}\n`);
  outputs.attach("app", files(), OWNER);
  outputs.lap();
  await expect.poll(() => statSync(rawStdoutPath(files())).size).toBe(0);
  write("after\n");
  outputs.lap();
  await expect.poll(() => linesOf().at(-1)).toBe("[stdout] after");
  await outputs.close();
});

test("a disk that refuses costs lines, which are counted once it takes them again, and never the session", async () => {
  const { outputs } = open();
  writeFileSync(join(directory, "logs"), "a file where the directory should be");
  outputs.attach("app", files(), OWNER);
  write(numbered(0, 10));
  outputs.lap();
  await expect.poll(outputs.failure).toBe("ENOTDIR");
  rmSync(join(directory, "logs"));
  outputs.attach("app", files(), OWNER);
  write(numbered(10, 12));
  outputs.lap();
  await expect.poll(() => linesOf().at(-1)).toBe("[stdout] line 11");
  expect(outputs.failure()).toBeUndefined();
  await outputs.close();
});

test("a garbled note of where it was is said in the log, and the session's file is read from where it has data", async () => {
  const first = open();
  write(numbered(0, 10));
  first.outputs.attach("app", files(), OWNER);
  first.outputs.lap();
  await first.outputs.close();
  truncateSync(rawCursorPath(files()), 20);
  const second = open();
  write(numbered(10, 12));
  second.outputs.attach("app", files(), OWNER);
  second.outputs.lap();
  await second.outputs.close();
  expect(linesOf().slice(-2)).toEqual(logged(10, 12));
  expect(linesOf()).toContain(
    "[gap] an unknown amount: how far it was read is not known any more, so lines may be missing or twice",
  );
  expect(readdirSync(join(directory, "logs"))).toEqual(["app.log"]);
});
