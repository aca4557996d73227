import { expect, test } from "vitest";
import type { EngineEntry } from "../engine-output.ts";
import { readLogLines } from "./log-lines.ts";

const TIME = "2026-11-21T18:16:33.000000007Z";
const timeNs = BigInt(Date.parse("2026-11-21T18:16:33Z")) * 1_000_000n + 7n;

async function read(bytes: Buffer, size: number): Promise<readonly EngineEntry[]> {
  const seen: EngineEntry[] = [];
  const pieces = (async function* () {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  })();
  for await (const entry of readLogLines(pieces)) seen.push({ ...entry, bytes: Buffer.from(entry.bytes) });
  return seen;
}

test.each([1, 7, 1000])("lines are the same, however they are cut: %i bytes at a time", async (size) => {
  const binary = Buffer.from([0, 255, 13, 32, 1]);
  const sent = Buffer.concat([
    Buffer.from(`${TIME} hello world\n`),
    Buffer.from("unable to retrieve container logs for containerd://x\n"),
    Buffer.from("short\n"),
    Buffer.from(`${TIME} `),
    binary,
    Buffer.from(`\n${TIME} \n${TIME} no end`),
  ]);
  expect(await read(sent, size)).toEqual(
    [
      Buffer.from("hello world\n"),
      Buffer.concat([binary, Buffer.from("\n")]),
      Buffer.from("\n"),
      Buffer.from("no end"),
    ].map((bytes) => ({ output: "stdout", bytes, timeNs })),
  );
});

test("a long line comes in pieces of the same size at each reading, with nothing lost", async () => {
  for (const length of [32_767, 32_768, 100_000]) {
    const line = `${"x".repeat(length)}\n`;
    const sent = Buffer.from(`${TIME} ${line}${TIME} next\n`);
    const [small, large] = [await read(sent, 999), await read(sent, 1_000_000)];
    expect(small.map(({ bytes }) => bytes.length)).toEqual(large.map(({ bytes }) => bytes.length));
    expect(Math.max(...small.map(({ bytes }) => bytes.length))).toBeLessThanOrEqual(32_768);
    expect(Buffer.concat(small.map(({ bytes }) => bytes)).toString()).toBe(`${line}next\n`);
    expect(small.at(-1)?.bytes.toString()).toBe("next\n");
  }
});
