import fc from "fast-check";
import { expect, test } from "vitest";
import { createLogRecords, MAX_TEXT_CHARACTERS } from "./log-records.ts";

const textsOf = (records: ReturnType<ReturnType<typeof createLogRecords>["push"]>) =>
  records.map((record) => (record.type === "line" ? record.text : record));

test("lines are exact, however the text was cut", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 12 })), fc.integer({ min: 1, max: 9 }), (parts, size) => {
      const text = parts.join("\n");
      const records = createLogRecords({ source: "cam-1", sinceMs: undefined });
      const seen: unknown[] = [];
      for (let at = 0; at < text.length; at += size) seen.push(...textsOf(records.push(text.slice(at, at + size))));
      seen.push(...textsOf(records.end()));
      const lines = text.split("\n").map((line) => line.replace(/\r$/, ""));
      expect(seen).toEqual(text.endsWith("\n") || text === "" ? lines.slice(0, -1) : lines);
    }),
  );
});

test("a line of 10 MB is cut, what is missing is counted, and the next one is whole", () => {
  const records = createLogRecords({ source: "agent", sinceMs: undefined });
  const seen = [];
  for (let index = 0; index < 160; index++) seen.push(...records.push("ä".repeat(65_536)));
  seen.push(...records.push("\nnext\n"));
  expect(seen).toEqual([
    { type: "line", source: "agent", text: "ä".repeat(MAX_TEXT_CHARACTERS) },
    { type: "gap", bytes: 2 * (160 * 65_536 - MAX_TEXT_CHARACTERS), reason: "a line was too long" },
    { type: "line", source: "agent", text: "next" },
  ]);
});

test("a line bears its time, and what is older than asked for is left out with all that belongs to it", () => {
  const records = createLogRecords({ source: "cam-1", sinceMs: new Date("2026-01-15T10:30:45").getTime() });
  const seen = records.push(
    "[2026-01-15 10:30:44] old\n  its second line\n[2026-01-15 10:30:45] new\n  its second line\n",
  );
  expect(seen).toEqual([
    {
      type: "line",
      at: new Date("2026-01-15T10:30:45").toISOString(),
      source: "cam-1",
      text: "[2026-01-15 10:30:45] new",
    },
    { type: "line", source: "cam-1", text: "  its second line" },
  ]);
});
