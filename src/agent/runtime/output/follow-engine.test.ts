import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "../../../base/clock.fake.ts";
import { systemClock } from "../../../base/clock.ts";
import { AppError } from "../../../base/errors.ts";
import { createTokenBucket } from "../../../base/token-bucket.ts";
import type { EngineEntry, EngineOutput } from "../engine-output.ts";
import { parseEngineTime } from "../engine-output.ts";
import { createEntryTrack } from "./entry-track.ts";
import { createEngineFollower } from "./follow-engine.ts";
import { createLogLedger } from "./log-ledger.ts";
import { createSessionLog } from "./session-log.ts";
import { createSessionWriter } from "./session-writer.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-engine-"));
  mkdirSync(join(directory, "logs"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));
const logPath = () => join(directory, "logs", "app.log");

/** What an engine holds. It gives what is there, then waits for more, and breaks off after `breakAfter` entries. */
function createEngine(instance = "c1") {
  const entries: EngineEntry[] = [];
  const state = { isEnded: false, breakAfter: Number.POSITIVE_INFINITY, readings: 0 };
  const output: EngineOutput = {
    instance,
    read: async function* (sinceNs, signal) {
      state.readings++;
      let given = 0;
      for (let index = 0; ; index++) {
        while (index >= entries.length) {
          if (state.isEnded) return;
          signal.throwIfAborted();
          await systemClock.delay(1, signal);
        }
        const entry = entries[index];
        if (entry === undefined || entry.timeNs < sinceNs) continue;
        if (given++ >= state.breakAfter) throw new AppError("unavailable", "the engine went away");
        yield entry;
      }
    },
  };
  const write = (text: string, timeNs: number, name: EngineEntry["output"] = "stdout") =>
    void entries.push({ output: name, bytes: Buffer.from(text), timeNs: BigInt(timeNs) });
  return { entries, state, output, write };
}

function open(engine: ReturnType<typeof createEngine>, given: { burstBytes?: number; maxFileBytes?: number } = {}) {
  const clock = createFakeClock();
  const log = createSessionLog(
    {
      path: logPath(),
      maxFileBytes: () => given.maxFileBytes ?? 1_000_000,
      keepFiles: 9,
      onRotate: () => undefined,
    },
    createLogLedger(),
  );
  const writer = createSessionWriter(
    {
      workloadId: "app",
      source: engine.output.instance,
      cursorPath: join(directory, "output.json"),
      maxLineBytes: 100,
      tailLines: 10,
    },
    { clock, log, redact: (text) => text.replaceAll("s3cret-key", "***"), journal: undefined },
  );
  const allowance = createTokenBucket({ burst: given.burstBytes ?? 10_000_000, perSecond: 1000 });
  let isKilled = false;
  const read: EngineOutput["read"] = async function* (sinceNs, signal) {
    for await (const entry of engine.output.read(sinceNs, signal)) {
      if (isKilled) throw new AppError("unavailable", "nobody is there to read");
      yield entry;
    }
  };
  const output = { ...engine.output, read };
  return {
    clock,
    follower: createEngineFollower(logPath(), output, { clock, writer, allowance }),
    /** Nothing of it is closed; it only does nothing any more. */
    kill: () => {
      isKilled = true;
    },
  };
}
const linesOf = () =>
  [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    .map((index) => (index === 0 ? logPath() : `${logPath()}.${index}`))
    .map((path) => (existsSync(path) ? readFileSync(path, "utf8") : ""))
    .join("")
    .split("\n")
    .slice(0, -1)
    .map((line) => line.slice("[2026-01-15 10:30:45] ".length));

async function untilLines(follower: { lap(): Promise<void> }, count: number): Promise<void> {
  await expect
    .poll(
      async () => {
        await follower.lap();
        return linesOf().length;
      },
      { timeout: 10_000, interval: 5 },
    )
    .toBe(count);
}

test("entries of one moment, readings that break off and agents that are killed: each line is there once", async () => {
  const engine = createEngine();
  const wanted: string[] = [];
  let timeNs = 5_000_000_000;
  const write = (text: string, name: EngineEntry["output"] = "stdout") => {
    engine.write(`${text}\n`, timeNs, name);
    wanted.push(`[${name}] ${text}`);
    // Often several in one moment, as engines with coarse clocks write them.
    if (wanted.length % 3 === 0) timeNs += 400_000_000;
  };
  for (let round = 0; round < 12; round++) {
    engine.state.breakAfter = round % 4 === 1 ? 3 : Number.POSITIVE_INFINITY;
    const { follower, clock, kill } = open(engine, { maxFileBytes: 400 });
    for (let index = 0; index < 5; index++) write(`line ${wanted.length}`, index === 3 ? "stderr" : "stdout");
    if (round % 4 === 1) {
      await expect.poll(() => follower.failure(), { interval: 5 }).toBe("the engine went away");
      engine.state.breakAfter = Number.POSITIVE_INFINITY;
      await clock.advance(1000);
    }
    await untilLines(follower, wanted.length);
    // Every other agent is killed, and the next one finds its files.
    if (round % 2 === 0) await follower.close();
    else kill();
  }
  expect(linesOf()).toEqual(wanted);
});

test("half a line is taken up where it was, and a batch that was written but not noted is not there twice", async () => {
  const engine = createEngine();
  engine.write("one\n", 5_000_000_000);
  engine.write("half of the sec", 6_000_000_000);
  const first = open(engine);
  await untilLines(first.follower, 1);
  const noted = readFileSync(join(directory, "output.json"));
  engine.write("ond s3cret-", 7_000_000_000);
  engine.write("key\nthree\n", 8_000_000_000);
  await untilLines(first.follower, 3);
  await first.follower.close();
  rmSync(join(directory, "output.json"));
  writeFileSync(join(directory, "output.json"), noted);
  const second = open(engine);
  await untilLines(second.follower, 3);
  engine.write("fo", 9_000_000_000);
  engine.state.isEnded = true;
  await Promise.all([second.follower.finish(), second.clock.advance(1000)]);
  expect(linesOf()).toEqual(["one", "half of the second ***", "three", "fo"].map((text) => `[stdout] ${text}`));
});

test("another container begins anew, and what an engine no longer holds is told as a gap", async () => {
  const engine = createEngine();
  engine.write("one\n", 5_000_000_000);
  engine.write("two\n", 6_000_000_000);
  const first = open(engine);
  await untilLines(first.follower, 2);
  await first.follower.close();
  engine.entries.length = 0;
  engine.write("five\n", 9_000_000_000);
  const second = open(engine);
  await untilLines(second.follower, 4);
  await second.follower.close();
  const other = createEngine("c2");
  other.write("first of another\n", 1_000_000_000);
  const third = open(other);
  await untilLines(third.follower, 5);
  await third.follower.close();
  expect(linesOf()).toEqual([
    "[stdout] one",
    "[stdout] two",
    "[gap] an unknown amount: stdout: the engine does not hold it any more",
    "[stdout] five",
    "[stdout] first of another",
  ]);
});

test("what a log does not take of a flood is counted to the byte", async () => {
  const engine = createEngine();
  for (let index = 0; index < 100; index++) engine.write(`${String(index).padStart(9, "0")}\n`, 5_000_000_000 + index);
  engine.state.isEnded = true;
  const { follower, clock } = open(engine, { burstBytes: 500 });
  await expect.poll(() => engine.state.readings).toBe(1);
  await Promise.all([follower.finish(), clock.advance(1000)]);
  const lost = linesOf().flatMap((line) => /^\[gap\] (\d+) bytes/.exec(line)?.[1] ?? []);
  const kept = linesOf().filter((line) => line.startsWith("[stdout]")).length * 10;
  expect(kept).toBeGreaterThan(400);
  expect(kept + lost.reduce((sum, bytes) => sum + Number(bytes), 0)).toBe(1000);
});

test("an engine that hangs at the end holds up nobody for longer than a few seconds", async () => {
  const engine = createEngine();
  engine.write("one\n", 5_000_000_000);
  const { follower, clock } = open(engine);
  await untilLines(follower, 1);
  const finished = follower.finish();
  await clock.advance(5000);
  await finished;
  expect(linesOf()).toEqual(["[stdout] one"]);
});

test("times of engines are read to the nanosecond", () => {
  expect(parseEngineTime("1970-01-01T00:00:01.000000009Z")).toBe(1_000_000_009n);
  expect(parseEngineTime("1970-01-01T01:00:01.5+01:00")).toBe(1_500_000_000n);
  expect(parseEngineTime("yesterday")).toBeUndefined();
});

test("of entries of one moment those are left out that were taken", () => {
  const track = createEntryTrack({ from: "10", entries: 2, bytes: 3, isAfterReturn: false });
  expect(track.startReading()).toBe(10n);
  const taken = [9, 10, 10, 10, 11].map((timeNs) => track.take(BigInt(timeNs), 5).bytes);
  expect(taken).toEqual([0, 0, 0, 2, 5]);
  expect(track.position(0)).toEqual({ from: "11", entries: 1, bytes: 0 });
});
