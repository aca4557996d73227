import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { FRAME, FRAME_HEAD_BYTES, PACK_BYTES } from "./frames.ts";
import { itemKeyOf, SMALL_BYTES, tagKeyOf } from "./item-hash.ts";
import { createPackWriter, MAX_PACKED, type PackPlace, readPack } from "./pack.ts";

const OF = { key: tagKeyOf(itemKeyOf("uid:1")), number: 3 };

function packed(contents: readonly Buffer[], of: PackPlace = OF): Buffer {
  const pack = createPackWriter(Buffer.alloc(FRAME_HEAD_BYTES + PACK_BYTES));
  for (const [index, bytes] of contents.entries()) {
    bytes.copy(pack.next(bytes.length));
    pack.add(index * 7, bytes.length);
  }
  return Buffer.from(pack.finish(of));
}
const bodyOf = (frame: Buffer) => frame.subarray(FRAME_HEAD_BYTES);
const corrupt = expect.objectContaining({ code: "corrupt" });

describe("a pack", () => {
  const contents = [randomBytes(10), Buffer.alloc(0), randomBytes(5000)];

  it("gives the files back that were put in, in their order, empty ones too", () => {
    const frame = packed(contents);
    expect(frame[0]).toBe(FRAME.pack);
    expect(frame.readUInt32BE(1)).toBe(frame.length - FRAME_HEAD_BYTES);
    const { files } = readPack(bodyOf(frame), OF);
    expect(files.map(({ index }) => index)).toEqual([0, 7, 14]);
    expect(files.map(({ bytes }) => Buffer.from(bytes))).toEqual(contents);
  });

  it("in which any bit has changed gives none", () => {
    const body = bodyOf(packed([randomBytes(40), randomBytes(3)]));
    for (let bit = 0; bit < body.length * 8; bit++) {
      const changed = Buffer.from(body);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => readPack(changed, OF)).toThrow(corrupt);
    }
  });

  it("of another number, or of another transfer, gives none", () => {
    const body = bodyOf(packed(contents));
    expect(() => readPack(body, { ...OF, number: 4 })).toThrow(corrupt);
    expect(() => readPack(body, { ...OF, key: tagKeyOf(itemKeyOf("other:1")) })).toThrow(corrupt);
  });

  it("is full with so many files, and by their bytes", () => {
    const many = createPackWriter(Buffer.alloc(FRAME_HEAD_BYTES + PACK_BYTES));
    while (many.hasRoom(1)) many.add(0, 1);
    expect(many.files()).toBe(MAX_PACKED);
    const large = createPackWriter(Buffer.alloc(FRAME_HEAD_BYTES + PACK_BYTES));
    while (large.hasRoom(SMALL_BYTES)) large.add(0, SMALL_BYTES);
    expect(large.files()).toBe(7);
    expect(large.finish(OF).length).toBeLessThanOrEqual(FRAME_HEAD_BYTES + PACK_BYTES);
  });

  it.each([
    ["ends in the middle of a file", (body: Buffer) => body.subarray(0, body.length - 1)],
    ["ends in the middle of a head", (body: Buffer) => Buffer.concat([body, Buffer.alloc(3)])],
    ["has a file that is none of the short ones", () => Buffer.concat([Buffer.alloc(4), Buffer.from([0, 2, 0, 1])])],
  ])("that %s is told, whoever has sealed it", (_, change) => {
    const inner = change(bodyOf(packed(contents)).subarray(16));
    const sealed = createPackWriter(Buffer.alloc(FRAME_HEAD_BYTES + PACK_BYTES));
    // Sealed as what follows the first eight bytes of a file would be.
    inner.subarray(8).copy(sealed.next(inner.length - 8));
    const length = inner.length < 8 ? 0 : inner.length - 8;
    sealed.add(inner.readUInt32BE(0), length);
    sealed.buffer.writeUInt32BE(inner.readUInt32BE(4), FRAME_HEAD_BYTES + 16 + 4);
    expect(() => readPack(bodyOf(sealed.finish(OF)), OF)).toThrow(corrupt);
  });
});
