import { describe, expect, test } from "vitest";
import {
  DATA_HEAD_BYTES,
  FRAME,
  FRAME_HEAD_BYTES,
  MAX_ZERO_BYTES,
  PACK_BYTES,
  PIECE_BYTES,
  readDataHead,
  requireFrameHead,
  TAKEN_BYTES,
  writeDataHeads,
} from "./frames.ts";

const MIB = 1024 * 1024;
const refusal = expect.objectContaining({ code: "corrupt" });

test.each([
  ["data", FRAME.data, DATA_HEAD_BYTES + PIECE_BYTES],
  ["a pack", FRAME.pack, PACK_BYTES],
  ["an end", FRAME.end, 0],
  ["what was taken", FRAME.taken, TAKEN_BYTES],
  ["items", FRAME.items, 16 * MIB],
  ["a failure", FRAME.failed, 16 * MIB],
])("a frame of %s is as long as those of our workers, and not a byte longer", (_, type, most) => {
  requireFrameHead(type, most);
  expect(() => requireFrameHead(type, most + 1)).toThrow(refusal);
  expect(() => requireFrameHead(type, 0xffff_ffff)).toThrow(refusal);
});

test.each([0, FRAME.taken + 1, 0x16, 0x48, 255])("a frame of type %i is none", (type) => {
  expect(() => requireFrameHead(type, 0)).toThrow(refusal);
});

describe("data", () => {
  const body = (length: number, bytes: number, flags: { isZero?: boolean; isPatch?: boolean } = {}) => {
    const frame = Buffer.alloc(FRAME_HEAD_BYTES + DATA_HEAD_BYTES + bytes);
    const head = { index: 1, at: 0, length, isZero: false, isPatch: false, isLast: true, digest: Buffer.alloc(32) };
    writeDataHeads(frame, 0, { ...head, ...flags }, bytes);
    return frame.subarray(FRAME_HEAD_BYTES);
  };

  test("says how long it is, and is as long", () => {
    expect(readDataHead(body(1000, 1000))).toMatchObject({ index: 1, length: 1000, isLast: true });
    expect(readDataHead(body(MAX_ZERO_BYTES, 0, { isZero: true }))).toMatchObject({ isZero: true });
    expect(readDataHead(body(PIECE_BYTES, 10, { isPatch: true }))).toMatchObject({ isPatch: true });
  });

  test.each([
    ["fewer bytes than it says", body(1000, 999)],
    ["more bytes than it says", body(1000, 1001)],
    ["more than a piece", body(PIECE_BYTES + 1, PIECE_BYTES + 1)],
    ["a patch of more than a piece", body(PIECE_BYTES + 1, 10, { isPatch: true })],
    ["more zeros than are told of at once", body(MAX_ZERO_BYTES + 1, 0, { isZero: true })],
    ["zeros, and bytes beside them", body(1000, 1000, { isZero: true })],
    ["zeros that are a patch", body(1000, 0, { isZero: true, isPatch: true })],
    ["no whole head", body(0, 0).subarray(1)],
  ])("of %s is refused", (_, given) => {
    expect(() => readDataHead(given)).toThrow(refusal);
  });
});
