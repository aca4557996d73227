import { expect, test } from "vitest";
import { createFakeClock } from "./clock.fake.ts";
import { formatLogLine, formatWallTime, oneLine } from "./log.ts";

test("a line has local time, level, component and message", () => {
  const clock = createFakeClock(new Date(2026, 0, 15, 10, 30, 45).getTime());
  expect(formatLogLine(clock, "info", "STREAM", "Started cam-1")).toBe(
    "[2026-01-15 10:30:45] [INFO] [STREAM] Started cam-1",
  );
});

test("time is padded", () => {
  expect(formatWallTime(new Date(2026, 2, 4, 5, 6, 7).getTime())).toBe("2026-03-04 05:06:07");
});

test("a message from outside can neither forge a line nor drive a terminal", () => {
  expect(oneLine("a\nb\r\n[ERROR] c\u001b[31m\u0007\u2028d")).toBe("a b  [ERROR] c\\x1b[31m\\x07\\x2028d");
  // Of eight bits each: some terminals take the second for an escape of its own.
  expect(oneLine("\u007f\u009b2J\u0085")).toBe("\\x7f\\x9b2J\\x85");
});
