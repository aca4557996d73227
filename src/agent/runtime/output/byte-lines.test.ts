import fc from "fast-check";
import { expect, test } from "vitest";
import { createByteLines } from "./byte-lines.ts";
import { cutOfLine, toLineText } from "./line-text.ts";

const open = (options = {}) =>
  createByteLines({ maxHeldBytes: 1000, maxSkippedBytes: 100, cutAt: () => 900, ...options });
const textsOf = (chunks: readonly Buffer[]) => {
  const lines = open();
  return [...chunks.flatMap((chunk) => lines.push(chunk)), ...lines.rest()].map(({ bytes }) => bytes.toString());
};

test("lines end at \\n, \\r\\n and \\r, empty ones count, and it is the same wherever the bytes are cut", () => {
  const text = Buffer.from("one\n\ntwo\r\n\r\n10%\r20%\r\rthree\r\r\nfour\u2028\n\n\nend");
  const whole = textsOf([text]);
  expect(whole).toEqual(["one", "", "two", "", "10%", "20%", "three", "four\u2028", "", "", "end"]);
  for (let at = 0; at <= text.length; at++) expect(textsOf([text.subarray(0, at), text.subarray(at)])).toEqual(whole);
});

test("a successor that begins behind a \\r makes no empty line of the \\n that belongs to it", () => {
  const first = open();
  first.push(Buffer.from("one\r"));
  const second = open({ isAfterReturn: first.isAfterReturn() });
  expect(second.push(Buffer.from("\ntwo\n")).map(({ bytes }) => bytes.toString())).toEqual(["two"]);
});

test("a long line comes in pieces, with what goes on marked, and nothing held beyond the bound", () => {
  const lines = open({ maxHeldBytes: 8, cutAt: () => 5 });
  expect(
    lines.push(Buffer.from("123456789abc\nx")).map(({ bytes, continues }) => [bytes.toString(), continues]),
  ).toEqual([
    ["12345", true],
    ["6789abc", false],
  ]);
  expect(lines.heldBytes()).toBe(1);
});

test("every byte is in a line, an end of one, held, or told as lost", () => {
  const bytes = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 12 });
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(200), { maxLength: 3 }), (chunks, skips) => {
      const lines = open({ maxHeldBytes: 40, maxSkippedBytes: 10, cutAt: () => 30 });
      let came = 0;
      let inLines = 0;
      let lost = 0;
      chunks.forEach((chunk, index) => {
        const skipped = skips[index];
        if (skipped !== undefined) {
          came += skipped;
          lines.skip(skipped);
        }
        came += chunk.length;
        for (const line of lines.push(Buffer.from(chunk))) inLines += line.bytes.length;
        lost += lines.takeLost();
      });
      const ends = came - inLines - lost - lines.heldBytes();
      const newlines = chunks.reduce(
        (sum, chunk) => sum + chunk.filter((byte) => byte === 10 || byte === 13).length,
        0,
      );
      expect(ends).toBeGreaterThanOrEqual(0);
      expect(ends).toBeLessThanOrEqual(newlines);
    }),
  );
});

const same = (text: string) => text;

/** The bytes of a line's text, as its definition says. */
function bytesOf(text: string): Buffer {
  const parts = text.split(/(\\x[0-9a-f]{2})/u);
  return Buffer.concat(
    parts.map((part, index) => (index % 2 === 1 ? Buffer.from(part.slice(2), "hex") : Buffer.from(part))),
  );
}

test("the text of a line gives its bytes again, whatever they are, and is one line without control characters", () => {
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
    fc.string({ maxLength: 30 }).map((text) => Buffer.from(text)),
    fc
      .constantFrom("\\x41", "\\\\x5cx41", "a\\", "\\xzz", "\ttab", "\u2028\u0085", "😀€ä")
      .map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(fc.array(anything, { maxLength: 6 }).map(Buffer.concat), (bytes) => {
      const text = toLineText(bytes, same);
      expect(bytesOf(text).equals(bytes)).toBe(true);
      expect(text).not.toMatch(/(?!\t)[\p{Cc}\u2028\u2029\p{Cs}]/u);
    }),
    { numRuns: 200 },
  );
  expect(toLineText(Buffer.from("größer \u001b[31m\t\\x41 \\n"), same)).toBe("größer \\x1b[31m\t\\x5cx41 \\n");
  expect(toLineText(Buffer.from([0x61, 0xff, 0xc3, 0x28]), same)).toBe("a\\xff\\xc3(");
});

test("secrets are taken out between bytes that are no text, and no cut runs through one", () => {
  const redact = (text: string) => text.replaceAll("s3cret-key", "***");
  expect(toLineText(Buffer.concat([Buffer.from([0xff]), Buffer.from("s3cret-key"), Buffer.from([0xfe])]), redact)).toBe(
    "\\xff***\\xfe",
  );
  for (let before = 80; before < 110; before++) {
    const held = Buffer.from(`${"€".repeat(20)}${"x".repeat(before - 60)}s3cret-key${"y".repeat(60)}`);
    const cut = cutOfLine(held, 100, redact);
    const pieces = [held.subarray(0, cut), held.subarray(cut)].map((piece) => toLineText(piece, redact));
    expect(pieces.join("")).toBe(redact(held.toString()));
    expect(cut).toBeGreaterThan(40);
  }
  expect(cutOfLine(Buffer.from("€".repeat(40)), 50, same)).toBe(48);
});
