import { describe, expect, it } from "vitest";
import { seededRandom } from "../../base/random.ts";
import { pathBytes, pathText } from "./path-text.ts";

describe("path text", () => {
  it.each([
    ["plain/name.mp4", "plain/name.mp4"],
    ["100% sure", "100%25 sure"],
    ["grüße/日本/😀", "grüße/日本/😀"],
    ["line\nbreak\u001b[0m", "line\nbreak\u001b[0m"],
    ["replacement \ufffd itself", "replacement \ufffd itself"],
    ["", ""],
  ])("writes %j as %j", (name, text) => {
    expect(pathText(Buffer.from(name))).toBe(text);
    expect(pathBytes(text)).toEqual(Buffer.from(name));
  });

  it.each([
    [[0x61, 0xff, 0x62], "a%FFb"],
    [[0xc0, 0xaf], "%C0%AF"],
    [[0xed, 0xa0, 0x80], "%ED%A0%80"],
    [[0xf4, 0x90, 0x80, 0x80], "%F4%90%80%80"],
    [[0xe2, 0x82], "%E2%82"],
    [[0xe2, 0x82, 0x41], "%E2%82A"],
    [[0xf0, 0x9f, 0x98, 0x80, 0x80], "😀%80"],
  ])("writes bytes that are no UTF-8, %j, as %j", (bytes, text) => {
    expect(pathText(Uint8Array.from(bytes))).toBe(text);
    expect([...pathBytes(text)]).toEqual(bytes);
  });

  it("reads back any bytes, and no two as one", () => {
    const random = seededRandom(8);
    const seen = new Map<string, string>();
    const alphabet = [0x25, 0x41, 0x46, 0x80, 0xbf, 0xc3, 0xe2, 0xed, 0xf0, 0x9f, 0x98, 0xff];
    for (let round = 0; round < 5000; round++) {
      const bytes = Buffer.from(
        Array.from({ length: Math.floor(random() * 6) }, () => alphabet[Math.floor(random() * alphabet.length)] ?? 0),
      );
      const text = pathText(bytes);
      expect(pathBytes(text).equals(bytes)).toBe(true);
      expect(seen.get(text) ?? bytes.toString("hex")).toBe(bytes.toString("hex"));
      seen.set(text, bytes.toString("hex"));
    }
  });

  it.each(["%", "%4", "a%G0", "%%41"])("refuses %j", (text) => {
    expect(() => pathBytes(text)).toThrow(/allowed: %XX/);
  });

  it("refuses half of a surrogate pair", () => {
    expect(() => pathBytes("a\ud800")).toThrow(/surrogate/);
  });
});
