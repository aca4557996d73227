import { expect, test } from "vitest";
import { streamsFor } from "./stream-count.ts";

test("over a short way, or one that nobody has measured, there are as many as the configuration says", () => {
  for (const roundTripMs of [undefined, 0.2, 20, 50, 72]) expect(streamsFor(4, roundTripMs)).toBe(4);
});

test("over a long way there are as many as fill it and one more, and at most twice as many as the configuration says", () => {
  expect([80, 100, 119, 130, 300, 5000].map((roundTripMs) => streamsFor(4, roundTripMs))).toEqual([5, 6, 6, 7, 8, 8]);
  expect(streamsFor(1, 300)).toBe(2);
  expect(streamsFor(16, 100)).toBe(16);
});
