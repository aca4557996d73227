import { appendFile, mkdtemp, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { systemClock } from "../../base/clock.ts";
import { readLog } from "./read-log.ts";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-log-"));
  path = join(directory, "cam.log");
});
afterEach(() => rm(directory, { recursive: true }));

async function tail(lines: number): Promise<string> {
  let text = "";
  const never = new AbortController().signal;
  for await (const piece of readLog({ path, lines, follow: false }, createFakeClock(), never)) text += piece;
  return text;
}

/** A follower that collects in the background, and a way to let it look again. */
function follow(lines: number) {
  const clock = createFakeClock();
  const stop = new AbortController();
  const seen = { text: "" };
  const done = (async () => {
    for await (const piece of readLog({ path, lines, follow: true }, clock, stop.signal)) seen.text += piece;
  })();
  const until = async (expected: string) => {
    // Files are read in real time, whatever the clock of the reader says.
    const endMs = systemClock.monotonicMs() + 10_000;
    while (seen.text !== expected && systemClock.monotonicMs() < endMs) {
      await clock.advance(250);
      await systemClock.delay(1);
    }
    expect(seen.text).toBe(expected);
  };
  const end = async () => {
    stop.abort();
    await done;
    return clock.pending();
  };
  return { until, end };
}

test("gives the last lines, and no more than there are", async () => {
  await writeFile(path, "one\ntwo\nthree\n");
  expect(await tail(2)).toBe("two\nthree\n");
  expect(await tail(0)).toBe("");
  expect(await tail(50)).toBe("one\ntwo\nthree\n");
});

test("a last line without an end counts, and is ended", async () => {
  await writeFile(path, "one\ntwo");
  expect(await tail(1)).toBe("two\n");
});

test("a file that is not there is empty", async () => {
  expect(await tail(10)).toBe("");
});

test("what a freshly rotated log lacks comes from its newest rotated file", async () => {
  await writeFile(`${path}.1`, "one\ntwo\nthree\n");
  await writeFile(path, "four\n");
  expect(await tail(3)).toBe("two\nthree\nfour\n");
  expect(await tail(1)).toBe("four\n");
  await writeFile(path, "");
  expect(await tail(2)).toBe("two\nthree\n");
});

test("finds the last lines over many blocks, and never cuts a character", async () => {
  const lines = Array.from({ length: 20_000 }, (_, index) => `zeile ${index} äöü€\n`);
  await writeFile(path, lines.join(""));
  expect(await tail(15_000)).toBe(lines.slice(-15_000).join(""));
});

test("follows what is appended, line by line", async () => {
  await writeFile(path, "old\none\n");
  const follower = follow(1);
  await follower.until("one\n");
  await appendFile(path, "tw");
  await appendFile(path, "o\nthr");
  await follower.until("one\ntwo\n");
  expect(await follower.end()).toBe(0);
});

test("follows across a rotation without losing what was written before it", async () => {
  await writeFile(path, "one\n");
  const follower = follow(10);
  await follower.until("one\n");
  await appendFile(path, "last of the old file\n");
  await rename(path, `${path}.1`);
  await writeFile(path, "first of the new file\n");
  await follower.until("one\nlast of the old file\nfirst of the new file\n");
  await follower.end();
});

test("in the middle of a rotation the next file is the next one, wherever it stands at that moment", async () => {
  await writeFile(path, "one\n");
  const { until, end } = follow(10);
  await until("one\n");
  // Two rotations, and a third is under way: what was read has its next number, and what was written after it has not.
  await rename(path, `${path}.3`);
  await writeFile(`${path}.1`, "two\n");
  await writeFile(path, "three\n");
  await until("one\ntwo\nthree\n");
  await rename(`${path}.1`, `${path}.3`);
  await rename(path, `${path}.2`);
  await writeFile(path, "four\n");
  await until("one\ntwo\nthree\nfour\n");
  expect(await end()).toBe(0);
});

test("follows across a truncation", async () => {
  await writeFile(path, "one\ntwo\n");
  const follower = follow(10);
  await follower.until("one\ntwo\n");
  await truncate(path, 0);
  await appendFile(path, "new\n");
  await follower.until("one\ntwo\nnew\n");
  await follower.end();
});

test("waits for a file that does not exist yet", async () => {
  const follower = follow(10);
  await follower.until("");
  await writeFile(path, "hello\n");
  await follower.until("hello\n");
  await follower.end();
});
