import { describe, expect, it } from "vitest";
import { parseRetryAfter } from "./retry-after.ts";

const WALL_MS = Date.parse("2026-01-15T10:30:45Z");

describe("Retry-After", () => {
  it.each([
    ["120", 120_000],
    [" 0 ", 0],
    ["99999999999", 99_999_999_999_000],
    ["Thu, 15 Jan 2026 10:31:45 GMT", 60_000],
    ["Thu, 15 Jan 2026 10:00:00 GMT", 0],
    ["Thursday, 15-Jan-26 10:31:45 GMT", undefined],
    ["-5", undefined],
    ["1.5", undefined],
    ["1e3", undefined],
    ["soon", undefined],
    ["", undefined],
  ])("of `%s` is %s ms", (value, expected) => {
    expect(parseRetryAfter(new Headers({ "retry-after": value }), WALL_MS)).toBe(expected);
  });

  it("as a date is measured by the server's clock, not the box's", () => {
    const headers = new Headers({
      "retry-after": "Tue, 01 Jan 2030 00:00:30 GMT",
      date: "Tue, 01 Jan 2030 00:00:00 GMT",
    });
    expect(parseRetryAfter(headers, 0)).toBe(30_000);
  });

  it("is undefined when absent", () => {
    expect(parseRetryAfter(new Headers(), WALL_MS)).toBeUndefined();
  });
});
