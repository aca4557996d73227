import { expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { AppError } from "../base/errors.ts";
import type { LogRecord } from "../contract/fleet/log-line.ts";
import { followLog, type LogReading } from "./follow-log.ts";

const line = (at: number, text: string): LogRecord => ({
  type: "line",
  at: new Date(at * 1000).toISOString(),
  source: "app",
  output: "stdout",
  text,
});
const broken: LogRecord = { type: "end", reason: "the upload broke off", failed: true };

/** Follows a log whose readings give these, one after another; an error is thrown. */
async function follow(readings: readonly (readonly (LogRecord | Error)[])[], given: { isSession?: boolean } = {}) {
  const clock = createFakeClock();
  const stop = new AbortController();
  const wishes: LogReading[] = [];
  const breaks: string[] = [];
  const read = async function* (wish: LogReading) {
    const records = readings[wishes.length];
    wishes.push(wish);
    if (records === undefined) return stop.abort();
    for (const record of records) {
      if (record instanceof Error) throw record;
      yield record;
    }
  };
  const options = { first: { tail: 10, since: undefined }, maxTail: 1000, isSession: given.isSession ?? false };
  const seen: string[] = [];
  const done = (async () => {
    const deps = { read, clock, onBreak: (reason: string) => void breaks.push(reason) };
    for await (const record of followLog(options, deps, stop.signal)) {
      seen.push(record.type === "line" ? record.text : `${record.type}: ${record.reason}`);
    }
  })();
  let isOver = false;
  const over = done.finally(() => {
    isOver = true;
  });
  over.catch(() => undefined);
  for (let turn = 0; turn < 100 && !isOver; turn++) await clock.advance(10_000);
  await done;
  return { seen, wishes, breaks };
}

test("a session's log goes on after each break from its last line, and no line is there twice", async () => {
  const { seen, wishes, breaks } = await follow([
    [line(1, "a"), line(2, "b"), line(2, "c"), { type: "gap", reason: "the upload broke off" }, broken],
    [new AppError("unavailable", "box north-1 is offline")],
    [line(2, "b"), line(2, "c"), line(2, "d"), { type: "gap", reason: "rotated" }, line(3, "e"), broken],
    [line(3, "e"), line(3, "f")],
  ]);
  expect(seen).toEqual(["a", "b", "c", "d", "gap: rotated", "e", "f"]);
  expect(breaks.slice(0, 3)).toEqual(["the upload broke off", "box north-1 is offline", "the upload broke off"]);
  expect(wishes.slice(0, 3)).toEqual([
    { tail: 10, since: undefined },
    { tail: 1000, since: "1970-01-01T00:00:02.000Z" },
    { tail: 1000, since: "1970-01-01T00:00:02.000Z" },
  ]);
});

test("what can no longer be asked for is told as a gap", async () => {
  const { seen } = await follow([[line(1, "a"), broken], [line(5, "x")]]);
  expect(seen).toEqual(["a", "gap: more was written meanwhile than can be asked for at once", "x"]);
});

test("a log that is no session's ends with its reading, and one that may not be read is said", async () => {
  const plain: LogRecord = { type: "line", source: "cam", text: "one" };
  expect(await follow([[plain, broken], [plain]])).toMatchObject({
    seen: ["one", "end: the upload broke off"],
    breaks: [],
  });
  await expect(follow([[line(1, "a"), new AppError("unauthorized", "the key was revoked")]])).rejects.toThrow(
    "revoked",
  );
  expect((await follow([[broken], [line(1, "a")]], { isSession: true })).seen).toEqual(["a"]);
});
