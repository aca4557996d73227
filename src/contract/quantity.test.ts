import { expect, test } from "vitest";
import { coresQuantitySchema, memoryQuantitySchema, parseBytes, parseCores } from "./quantity.ts";

test.each([
  ["256Mi", 268_435_456],
  ["1.5Gi", 1_610_612_736],
  ["2G", 2_000_000_000],
  ["1048576", 1_048_576],
  ["0", 0],
  ["256 Mi", undefined],
  ["256MB", undefined],
  ["-1Mi", undefined],
  ["1e9", undefined],
  ["", undefined],
  ["999999999999999Ti", undefined],
])("%j is %s bytes", (text, bytes) => expect(parseBytes(text)).toBe(bytes));

test.each([
  ["500m", 0.5],
  ["2", 2],
  ["0.25", 0.25],
  ["1.5m", undefined],
  ["two", undefined],
  ["", undefined],
])("%j is %s cores", (text, cores) => expect(parseCores(text)).toBe(cores));

test("a limit that no FFmpeg can live with is no limit that may be asked for", () => {
  expect(memoryQuantitySchema.safeParse("1Mi").success).toBe(false);
  expect(memoryQuantitySchema.safeParse("16Mi").success).toBe(true);
  expect(coresQuantitySchema.safeParse("1m").success).toBe(false);
  expect(coresQuantitySchema.safeParse("10m").success).toBe(true);
});
