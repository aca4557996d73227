import { expect, test } from "vitest";
import { median, percentile, summarize } from "./statistics.ts";

test("the middle of two rounds is neither of them", () => {
  expect(median([52, 46])).toBe(49);
  expect(summarize([52, 46]).p50).toBe(49);
});

test.each([
  { samples: [3], middle: 3 },
  { samples: [9, 1, 5], middle: 5 },
  { samples: [4, 1, 3, 2], middle: 2.5 },
])("the median of $samples is $middle", ({ samples, middle }) => {
  expect(median(samples)).toBe(middle);
});

test("a percentile is one of the samples, and nothing of none is no number", () => {
  expect(percentile([10, 20, 30, 40], 0.95)).toBe(40);
  expect(percentile([], 0.95)).toBeNaN();
  expect(median([])).toBeNaN();
});
