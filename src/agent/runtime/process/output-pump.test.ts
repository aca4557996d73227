import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createFakeClock } from "../../../base/clock.fake.ts";
import { systemClock } from "../../../base/clock.ts";
import { createMemoryLog } from "../../../base/log.ts";
import { createRedactor } from "../../../base/redact.ts";
import { createSpawner } from "../../../base/spawn.ts";
import { createLogLedger } from "../output/log-ledger.ts";
import { createFloodGate } from "./flood-gate.ts";
import { createLineSplitter } from "./line-splitter.ts";
import { fileShareBytes, planRemovals } from "./log-budget.ts";
import { createOutputPump, DEFAULT_PUMP_OPTIONS, type OutputPumpOptions } from "./output-pump.ts";
import { fakeFfmpeg, openRuntimeWorld, until } from "./runtime-world.fake.ts";

describe("lines", () => {
  const split = (chunks: readonly Buffer[], maxBytes = 10_000) => {
    const splitter = createLineSplitter({ maxBytes });
    return [...chunks.flatMap((chunk) => splitter.push(chunk)), splitter.rest()].flatMap((line) => line?.text ?? []);
  };

  test("are the same wherever the bytes are cut", () => {
    const text = Buffer.from("one\ntwo\r\nthré\r\r\n\nfour\u2028x\r");
    const whole = split([text]);
    expect(whole).toEqual(["one", "two", "thré", "four\u2028x"]);
    for (let at = 0; at <= text.length; at++) expect(split([text.subarray(0, at), text.subarray(at)])).toEqual(whole);
  });

  test("hold no more than the bound, whatever comes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 }), (chunks) => {
        const splitter = createLineSplitter({ maxBytes: 16 });
        for (const chunk of chunks) {
          for (const line of splitter.push(Buffer.from(chunk))) expect(line.text.length).toBeLessThanOrEqual(16);
        }
      }),
    );
    const splitter = createLineSplitter({ maxBytes: 4 });
    expect(splitter.push(Buffer.from("123456"))).toEqual([]);
    expect(splitter.push(Buffer.from("789\nab\n"))).toEqual([
      { text: "1234", isCut: true },
      { text: "ab", isCut: false },
    ]);
  });

  test("after a gap begin with the next whole one", () => {
    const splitter = createLineSplitter({ maxBytes: 100 });
    splitter.push(Buffer.from("half"));
    splitter.skip();
    expect(splitter.push(Buffer.from("second half\nwhole\n"))).toEqual([{ text: "whole", isCut: false }]);
  });
});

describe("the flood gate", () => {
  test("lets a burst through, then a steady few, and tells what it held back before the next that passes", () => {
    const gate = createFloodGate({ burst: 10, perSecond: 2 });
    expect(gate.admit(15, 0)).toEqual({ admitted: 10, suppressedBefore: 0 });
    expect(gate.admit(5, 100)).toEqual({ admitted: 0, suppressedBefore: 0 });
    expect(gate.admit(5, 1000)).toEqual({ admitted: 2, suppressedBefore: 10 });
    expect(gate.takeSuppressed()).toBe(3);
    expect(gate.admit(100, 1_000_000)).toEqual({ admitted: 10, suppressedBefore: 0 });
    // A clock that goes back lets nothing more through, and breaks nothing.
    expect(gate.admit(1, 0)).toEqual({ admitted: 0, suppressedBefore: 0 });
  });
});

test("the log budget takes rotated files first, oldest first, and never a log that is written to", () => {
  const file = (path: string, changedMs: number, bytes = 10) => ({
    path,
    bytes,
    changedMs,
    isRotated: /\d$/.test(path),
  });
  const files = [file("a.log", 1), file("a.log.1", 5), file("b.log", 2), file("b.log.1", 4), file("b.log.2", 3)];
  const isIdle = (path: string) => path === "b.log";
  expect(planRemovals(files, 50, isIdle)).toEqual([]);
  expect(planRemovals(files, 35, isIdle)).toEqual(["b.log.2", "b.log.1"]);
  expect(planRemovals(files, 0, isIdle)).toEqual(["b.log.2", "b.log.1", "a.log.1", "b.log"]);
});

test.each([
  { files: 1, shareBytes: 1_048_576 },
  { files: 64, shareBytes: 1_048_576 },
  { files: 200, shareBytes: 335_544 },
  { files: 100_000, shareBytes: 65_536 },
])("$files current logs of a budget of 128 MiB may take $shareBytes bytes each", ({ files, shareBytes }) => {
  expect(fileShareBytes(1_048_576, 128 * 1_048_576, files)).toBe(shareBytes);
});

describe("the output pump", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "sluice-pump-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const files = (id: string) => ({
    directory,
    progressPath: join(directory, `${id}.progress`),
    rawOutputPath: join(directory, `${id}.raw`),
    logPath: join(directory, "logs", `${id}.log`),
    previewPath: join(directory, `${id}.jpg`),
  });

  const open = (overrides: Partial<OutputPumpOptions> = {}) => {
    const clock = createFakeClock();
    const log = createMemoryLog();
    const redactor = createRedactor();
    redactor.addSecret("s3cret-key");
    const options = {
      ...DEFAULT_PUMP_OPTIONS,
      logDirectory: join(directory, "logs"),
      agentLogName: "stream_system.log",
    };
    const spoken: [string, ...string[]][] = [];
    const journal = {
      write: (id: string, lines: readonly string[]) => void spoken.push([id, ...lines]),
      release: (id: string) => void spoken.push([id, "(released)"]),
    };
    const pump = createOutputPump(
      { ...options, ...overrides },
      { clock, log, redact: redactor.redact, ledger: createLogLedger(), journal },
    );
    const stop = new AbortController();
    const running = pump.run(stop.signal);
    const end = async () => {
      stop.abort();
      await running;
    };
    return { pump, clock, log, spoken, end };
  };
  const logOf = (id: string) => readFileSync(files(id).logPath, "utf8");
  const linesOf = (id: string) =>
    logOf(id)
      .split("\n")
      .filter(Boolean)
      .map((line) => line.replace(/^\[[^\]]*\] /, ""));

  test("carries lines with their time, without secrets, and empties the raw file", async () => {
    const { pump, clock, end } = open();
    pump.attach("cam", files("cam"));
    await clock.advance(1000);
    appendFileSync(files("cam").rawOutputPath, "to rtmp://x/live/s3cret-key\nframe=1\rframe=2\r\u001b[31mred\n");
    await clock.advance(1000);
    expect(pump.tail("cam")).toEqual(["to rtmp://x/live/***", "frame=1", "frame=2", "\\x1b[31mred"]);
    expect(statSync(files("cam").rawOutputPath).size).toBe(0);
    await end();
    expect(logOf("cam").split("\n")[0]).toMatch(/^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] to rtmp:\/\/x\/live\/\*\*\*$/);
    expect(linesOf("cam")).toHaveLength(4);
    expect(statSync(files("cam").logPath).mode & 0o777).toBe(0o600);
  });

  test("says the same lines to the journal, each workload's as its own, and releases it at the end", async () => {
    const { pump, clock, spoken, end } = open({ burstLines: 1, linesPerSecond: 1 });
    pump.attach("cam", files("cam"));
    appendFileSync(files("cam").rawOutputPath, "to rtmp://x/live/s3cret-key\nflood\n");
    await clock.advance(5000);
    appendFileSync(files("cam").rawOutputPath, "later\n");
    await clock.advance(1000);
    await end();
    expect(spoken).toEqual([
      ["cam", "to rtmp://x/live/***"],
      ["cam", "… suppressed 1 lines", "later"],
      ["cam", "(released)"],
    ]);
  });

  test("a successor goes on where its predecessor was killed, and never shows half a line", async () => {
    const first = open();
    first.pump.attach("cam", files("cam"));
    appendFileSync(files("cam").rawOutputPath, "one\nkey s3cr");
    await first.clock.advance(1000);
    // The predecessor is killed here: nothing of it runs any more.
    appendFileSync(files("cam").rawOutputPath, "et-key\nthree\n");
    const second = open();
    second.pump.attach("cam", files("cam"));
    await second.clock.advance(1000);
    expect(second.pump.tail("cam")).toEqual(["one", "key ***", "three"]);
    expect(statSync(files("cam").rawOutputPath).size).toBe(0);
    await second.end();
  });

  test("a flush reads to the end at once, an unfinished line included", async () => {
    const { pump, end } = open();
    pump.attach("cam", files("cam"));
    appendFileSync(files("cam").rawOutputPath, "Conversion failed!\nlast words");
    pump.flush("cam");
    expect(pump.tail("cam")).toEqual(["Conversion failed!", "last words"]);
    pump.detach("cam");
    expect(pump.tail("cam")).toEqual([]);
    await end();
    expect(linesOf("cam")).toEqual(["Conversion failed!", "last words"]);
  });

  test("thins out a flood, says how many lines it left out, and still knows the last ones", async () => {
    const { pump, clock, end } = open({ burstLines: 100, linesPerSecond: 10 });
    pump.attach("cam", files("cam"));
    const flood = Array.from({ length: 5000 }, (_, index) => `Non-monotonous DTS ${index}\n`).join("");
    appendFileSync(files("cam").rawOutputPath, flood);
    await clock.advance(1000);
    expect(pump.tail("cam").at(-1)).toBe("Non-monotonous DTS 4999");
    expect(pump.tail("cam")).toHaveLength(40);
    await clock.advance(10_000);
    appendFileSync(files("cam").rawOutputPath, "after\n");
    await clock.advance(1000);
    await end();
    const lines = linesOf("cam");
    expect(lines).toHaveLength(102);
    expect(lines.slice(-2)).toEqual(["… suppressed 4900 lines", "after"]);
    expect(pump.stats()).toMatchObject({ suppressedLines: 4900 });
  });

  test("an endless line, too much at once and invalid text cost neither memory nor a secret", async () => {
    const { pump, clock, end } = open();
    pump.attach("cam", files("cam"));
    appendFileSync(files("cam").rawOutputPath, `${"y".repeat(9210)}s3cret-key${"z".repeat(90_000)}\n`);
    appendFileSync(files("cam").rawOutputPath, Buffer.from([0xff, 0xfe, 0x0a]));
    await clock.advance(1000);
    expect(pump.tail("cam")[0]).toHaveLength(8192 + "… (cut)".length);
    expect(pump.tail("cam")[1]).toBe("\ufffd\ufffd");
    const megabyte = `${"rtmp://x/s3cret-key ".repeat(52_429)}`;
    appendFileSync(files("cam").rawOutputPath, `${megabyte}${megabyte}\nwhole\n`);
    await clock.advance(1000);
    expect(pump.tail("cam").at(-1)).toBe("whole");
    await end();
    expect(pump.stats()).toMatchObject({ cutLines: 1 });
    expect(pump.stats().skippedBytes).toBeGreaterThan(1_000_000);
    expect(logOf("cam")).not.toMatch(/s3c|cret-k|et-key/);
  });

  test("rotates each log and keeps all of them within their budget", async () => {
    const { pump, clock, end } = open({ maxFileBytes: 2000, keepFiles: 3, totalBytes: 9000, burstLines: 10_000 });
    for (const id of ["a", "b", "c"]) pump.attach(id, files(id));
    for (let round = 0; round < 20; round++) {
      for (const id of ["a", "b", "c"]) appendFileSync(files(id).rawOutputPath, `${"x".repeat(470)}\n`);
      await clock.advance(1000);
      await systemClock.delay(5);
    }
    await end();
    const names = readdirSync(join(directory, "logs"));
    const total = names.reduce((sum, name) => sum + statSync(join(directory, "logs", name)).size, 0);
    expect(names).toEqual(expect.arrayContaining(["a.log", "b.log", "c.log"]));
    expect(names.some((name) => name.endsWith(".3"))).toBe(false);
    expect(total).toBeLessThanOrEqual(9000);
  });

  test("drops and counts what a disk refuses, says so once, and recovers", async () => {
    const { pump, clock, log, end } = open();
    writeFileSync(join(directory, "logs"), "a file where the directory should be");
    pump.attach("cam", files("cam"));
    for (let round = 0; round < 3; round++) {
      appendFileSync(files("cam").rawOutputPath, "lost\n");
      await clock.advance(1000);
      await expect.poll(() => pump.tail("cam")).toHaveLength(round + 1);
      // The refusal is the disk's, and takes its own time.
      await systemClock.delay(50);
    }
    await clock.advance(1000);
    await expect.poll(() => pump.stats().failure).toBe("ENOTDIR");
    expect(pump.tail("cam")).toEqual(["lost", "lost", "lost"]);
    rmSync(join(directory, "logs"));
    pump.attach("cam", files("cam"));
    appendFileSync(files("cam").rawOutputPath, "kept\n");
    await expect
      .poll(async () => {
        await clock.advance(1000);
        return log.lines.filter((line) => line.includes("can be written again"));
      })
      .toHaveLength(1);
    await end();
    expect(linesOf("cam")).toEqual(["… 3 lines lost: the disk did not take them", "kept"]);
    expect(log.lines.filter((line) => line.includes("written"))).toEqual([
      "[WARN] Workload logs cannot be written (ENOTDIR): streams go on, their output is not kept",
      "[INFO] Workload logs can be written again",
    ]);
  });

  test("a full disk stops no workload", async ({ skip }) => {
    const mounter = createSpawner({ ambient: process.env }, { clock: systemClock });
    const limits = { timeoutMs: 5000, maxOutputBytes: 1000 };
    const point = mkdtempSync(join(tmpdir(), "sluice-full-"));
    const mounted = await mounter
      .runProgram("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", point], limits)
      .catch(() => undefined);
    try {
      skip(mounted?.code !== 0, "needs root to mount a small tmpfs");
      const { pump, clock, end } = open({ burstLines: 100_000 });
      const full = { ...files("cam"), logPath: join(point, "cam.log") };
      pump.attach("cam", full);
      for (let round = 0; round < 4; round++) {
        appendFileSync(full.rawOutputPath, `${"x".repeat(99)}\n`.repeat(400));
        await clock.advance(1000);
        await systemClock.delay(20);
      }
      await expect.poll(() => pump.stats().failure).toBe("ENOSPC");
      expect(pump.tail("cam")).toHaveLength(40);
      await end();
    } finally {
      await mounter.runProgram("umount", [point], limits);
      rmSync(point, { recursive: true, force: true });
    }
  });

  test("follows a real process that writes more than a pipe would hold", async () => {
    await using world = openRuntimeWorld();
    const stop = new AbortController();
    const pump = createOutputPump(
      { ...DEFAULT_PUMP_OPTIONS, logDirectory: join(world.stateDir, "logs"), agentLogName: "x", intervalMs: 20 },
      { clock: systemClock, log: world.log, redact: (text) => text, ledger: createLogLedger() },
    );
    const running = pump.run(stop.signal);
    const cam = world.files("cam");
    const launch = fakeFfmpeg("--stderr-bytes", "2000000", "--say", "hello", "--after-ms", "300", "--exit", "1");
    const handle = await world.runtime.start(world.mark("cam"), launch, cam);
    pump.attach("cam", cam);
    expect(await handle.exited).toMatchObject({ code: 1 });
    pump.flush("cam");
    expect(pump.tail("cam").at(-1)).toContain("Non-monotonous DTS");
    expect(statSync(cam.rawOutputPath).size).toBe(0);
    stop.abort();
    await running;
    expect(existsSync(cam.logPath)).toBe(true);
    expect(await until(() => readFileSync(cam.logPath, "utf8").includes("suppressed"))).toBe(true);
  });
});
