import { expect, test } from "vitest";
import { createTokenBucket, refill } from "./token-bucket.ts";

test("a bucket is full at first, whenever that is, and again after a quiet time, and never more than full", () => {
  const bucket = createTokenBucket({ burst: 10, perSecond: 4 });
  expect(bucket.left(50_000)).toBe(10);
  bucket.spend(10);
  expect(bucket.left(50_200)).toBe(0);
  expect(bucket.left(50_500)).toBe(2);
  expect(bucket.left(900_000)).toBe(10);
});

test("what was spent beyond what was there has to come in first", () => {
  const bucket = createTokenBucket({ burst: 10, perSecond: 10 });
  bucket.left(0);
  bucket.spend(30);
  expect(bucket.left(1999)).toBe(0);
  expect(bucket.left(2100)).toBe(1);
});

test("a clock that goes back brings nothing and breaks nothing", () => {
  expect(refill({ tokens: 3, atMs: 5000 }, { burst: 10, perSecond: 10 }, 1000)).toEqual({ tokens: 3, atMs: 1000 });
});
