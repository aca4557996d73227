import { expect, test } from "vitest";
import { applyLabelChanges, parseDurationSeconds, parseLabelChanges, parseMoment, parseWhole } from "./parse-values.ts";

test.each([
  ["90s", 90],
  ["15m", 900],
  ["15min", 900],
  ["24h", 86_400],
  ["7d", 604_800],
  ["1h30m", 5400],
  ["0.5h", 1800],
  ["45", 45],
])("%s is %d seconds", (text, seconds) => {
  expect(parseDurationSeconds(text, "--expires")).toBe(seconds);
});

test.each(["", "h", "5x", "1 h", "-5m", "5m!"])("%j is no duration, and the flag is named", (text) => {
  expect(() => parseDurationSeconds(text, "--expires")).toThrow(/^--expires: given .* allowed: a duration/);
});

test("a moment is one on the calendar or so long ago", () => {
  const nowMs = Date.parse("2026-01-15T10:00:00Z");
  const at = { field: "--since", nowMs };
  expect(parseMoment("15m", at)).toBe("2026-01-15T09:45:00.000Z");
  expect(parseMoment("2026-01-14T00:00:00Z", at)).toBe("2026-01-14T00:00:00.000Z");
  expect(() => parseMoment("yesterday", at)).toThrow(/^--since: given "yesterday"; allowed: a time such as/);
});

test("whole numbers keep within their bounds", () => {
  const bounds = { field: "--tail", min: 0, max: 100 };
  expect(parseWhole("100", bounds)).toBe(100);
  for (const text of ["101", "-1", "1.5", "", "ten", "0x10"]) {
    expect(() => parseWhole(text, bounds)).toThrow(/^--tail: .*from 0 to 100$/);
  }
});

test("labels are set by = and removed by a dash", () => {
  const changes = parseLabelChanges(["site=north", "role=", "a-b=c=d", "old-"], "LABEL");
  expect(changes).toEqual({ set: { site: "north", role: "", "a-b": "c=d" }, remove: ["old"] });
  expect(applyLabelChanges({ site: "south", old: "1", kept: "2" }, changes)).toEqual({
    site: "north",
    kept: "2",
    role: "",
    "a-b": "c=d",
  });
});

test.each([[["north"]], [["=x"]], [["-"]], [["a=1", "a-"]], [["a=1", "a=2"]]])("%j are no changes", (texts) => {
  expect(() => parseLabelChanges(texts, "LABEL")).toThrow(/^LABEL: /);
});
