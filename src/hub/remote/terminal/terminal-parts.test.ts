import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock } from "../../../base/clock.fake.ts";
import { createOutputWindow } from "./output-window.ts";
import { createRecordings } from "./recordings.ts";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-cast-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const FACTS = { session: "b", box: "north-1", operator: "anna", tokenId: "t1", cols: 80, rows: 24 };
const textOf = (pieces: readonly Uint8Array[] | undefined) =>
  pieces === undefined ? undefined : Buffer.concat(pieces).toString();

test("what was shown and not acknowledged can be shown again, from any byte of it", () => {
  const window = createOutputWindow(8);
  window.push(Buffer.from("abc"));
  window.push(Buffer.from("defgh"));
  expect(window.isFull).toBe(true);
  expect(textOf(window.from(0))).toBe("abcdefgh");
  expect(textOf(window.from(4))).toBe("efgh");
  expect(textOf(window.from(8))).toBe("");
  expect(window.from(9)).toBeUndefined();
  expect(window.acknowledge(5)).toBe(true);
  expect(window.isFull).toBe(false);
  expect(window.from(4)).toBeUndefined();
  expect(textOf(window.from(5))).toBe("fgh");
  // A late one takes nothing back, and nobody has what was never shown.
  expect(window.acknowledge(2)).toBe(true);
  expect(window.acknowledge(9)).toBe(false);
  expect(window.unacknowledged).toBe(3);
});

test("what was acknowledged is kept in whole pieces for a page that is loaded anew, and not for ever", () => {
  const window = createOutputWindow(8, 4);
  const replayed = () => {
    const { start, pieces } = window.replay();
    return `${start}:${textOf(pieces)}`;
  };
  expect(replayed()).toBe("0:");
  for (const piece of ["abc", "def"]) window.push(Buffer.from(piece));
  expect(replayed()).toBe("0:abcdef");
  window.acknowledge(6);
  expect(replayed()).toBe("0:abcdef");
  window.push(Buffer.from("g"));
  expect(replayed()).toBe("3:defg");
  // What nobody has acknowledged is kept however much it is.
  window.push(Buffer.from("hijklmnop"));
  expect(replayed()).toBe("6:ghijklmnop");
  window.acknowledge(16);
  expect([replayed(), textOf(window.from(16)), window.from(15)]).toEqual(["7:hijklmnop", "", undefined]);
});

test("a recording has each piece at its time, and characters whole that came in two pieces", async () => {
  const clock = createFakeClock();
  const recorder = await createRecordings(directory, { clock }).begin(FACTS);
  const tick = Buffer.from("✓");
  recorder.output(tick.subarray(0, 1));
  await clock.advance(1500);
  recorder.output(tick.subarray(1));
  // The size that it has by then is no change.
  recorder.resize({ cols: 80, rows: 24 });
  recorder.resize({ cols: 100, rows: 30 });
  recorder.close();
  const read = async () => (await readFile(join(directory, "b.cast"), "utf8")).trim().split("\n");
  await expect.poll(async () => (await read()).length).toBe(3);
  const [, ...events] = (await read()).map((line) => JSON.parse(line));
  expect(events).toEqual([
    [1.5, "o", "✓"],
    [1.5, "r", "100x30"],
  ]);
});

test("a recording that is full or cannot begin ends what it records, and the oldest ones make room", async () => {
  const clock = createFakeClock();
  const limits = { fileBytes: 400, totalBytes: 900, files: 3 };
  // Names begin with the time, the newest first.
  for (const name of ["c", "d"]) await writeFile(join(directory, `${name}.cast`), "x".repeat(400));
  const recordings = createRecordings(directory, { clock, limits });
  const recorder = await recordings.begin(FACTS);
  const problems: string[] = [];
  recorder.onFailed(({ code }) => problems.push(code));
  recorder.output(Buffer.from("y".repeat(500)));
  expect(problems).toEqual(["too-large"]);
  await expect.poll(async () => (await readdir(directory)).sort()).toEqual(["b.cast", "c.cast"]);
  await expect(recordings.begin(FACTS)).rejects.toMatchObject({ code: "storage" });
  recorder.close();
});

test("recordings that are too old go, and none that goes on", async () => {
  const clock = createFakeClock();
  const recordings = createRecordings(directory, { clock, days: 2 });
  const nowSeconds = clock.wallMs() / 1000;
  for (const [name, days] of Object.entries({ old: 2.1, young: 1.9 })) {
    const path = join(directory, `${name}.cast`);
    await writeFile(path, "x");
    await utimes(path, nowSeconds, nowSeconds - days * 86_400);
  }
  const going = await recordings.begin({ ...FACTS, session: "going" });
  going.output(Buffer.from("$ "));
  await utimes(join(directory, "going.cast"), nowSeconds, nowSeconds - 3 * 86_400);
  await writeFile(join(directory, "foreign"), "x");
  await utimes(join(directory, "foreign"), 0, 0);
  await recordings.prune();
  await expect.poll(async () => (await readdir(directory)).sort()).toEqual(["foreign", "going.cast", "young.cast"]);
  going.close();
  const unlimited = createRecordings(directory, { clock });
  await clock.advance(30 * 86_400_000);
  await unlimited.prune();
  expect(await readdir(directory)).toHaveLength(3);
});

test("recordings that go on are never what makes room, and take no more than all may", async () => {
  const limits = { fileBytes: 1000, totalBytes: 900, files: 2 };
  const recordings = createRecordings(directory, { clock: createFakeClock(), limits });
  await writeFile(join(directory, "z.cast"), "x".repeat(400));
  const first = await recordings.begin({ ...FACTS, session: "d" });
  const second = await recordings.begin({ ...FACTS, session: "c" });
  const third = await recordings.begin(FACTS);
  await expect.poll(async () => (await readdir(directory)).sort()).toEqual(["b.cast", "c.cast", "d.cast"]);
  const problems: string[] = [];
  third.onFailed(({ code }) => problems.push(code));
  third.output(Buffer.from("y".repeat(600)));
  expect(problems).toEqual(["exhausted"]);
  first.output(Buffer.from("$ "));
  for (const one of [first, second, third]) one.close();
  // One in which nothing was shown is not kept; of the third all but its last piece was.
  await expect.poll(async () => (await readdir(directory)).sort()).toEqual(["b.cast", "d.cast"]);
});
