import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AppError } from "../base/errors.ts";
import { DataSchema, FrameSchema } from "../contract/proto/sluice/router/v1/frame_pb.js";
import { decodeFrame, encodeControl, encodeData, MAX_DATA_BYTES, PIPE_NAMES, pipeOf } from "./frame.ts";
import { creditBody, helloBody } from "./frame-bodies.ts";

const seqs = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const channels = fc.integer({ min: 0, max: 0xffff_ffff });

describe("a data frame", () => {
  test("made by hand is, byte for byte, what the library makes, and each reads the other's", () => {
    fc.assert(
      fc.property(
        seqs,
        channels,
        fc.constantFrom(...PIPE_NAMES),
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        (seq, channel, pipe, bytes) => {
          const wire = Buffer.concat(encodeData({ seq, channel, pipe, bytes }));
          const data = create(DataSchema, { pipe: pipeOf(pipe), bytes });
          const message = create(FrameSchema, { seq: BigInt(seq), channel, body: { case: "data", value: data } });
          // A channel of 0 is not written by the library; a data frame of channel 0 has no meaning.
          if (channel > 0) expect(wire).toEqual(Buffer.from(toBinary(FrameSchema, message)));
          expect(fromBinary(FrameSchema, new Uint8Array(wire))).toEqual(message);
          for (const cut of [0, 1, 12, wire.length]) {
            const read = decodeFrame([wire.subarray(0, cut), wire.subarray(cut)]);
            expect(read).toMatchObject({ seq, channel, pipe, length: bytes.length });
            expect(Buffer.concat("pieces" in read ? read.pieces : [])).toEqual(Buffer.from(bytes));
          }
        },
      ),
    );
  });

  test("is read in any order of its fields", () => {
    const data = create(DataSchema, { pipe: pipeOf("out"), bytes: Buffer.from("abc") });
    const body = toBinary(FrameSchema, create(FrameSchema, { body: { case: "data", value: data } }));
    const numbers = toBinary(FrameSchema, create(FrameSchema, { seq: 5n, channel: 2 }));
    expect(decodeFrame([Buffer.concat([body, numbers])])).toMatchObject({ seq: 5, channel: 2, pipe: "out" });
  });

  test.each([0, MAX_DATA_BYTES + 1])("of %i bytes is none", (size) => {
    const data = create(DataSchema, { pipe: pipeOf("in"), bytes: Buffer.alloc(size) });
    const wire = toBinary(
      FrameSchema,
      create(FrameSchema, { seq: 1n, channel: 1, body: { case: "data", value: data } }),
    );
    expect(() => decodeFrame([wire])).toThrow(`data: given ${size} bytes; allowed: 1 to ${MAX_DATA_BYTES}`);
  });
});

test("a link frame is told by its first byte, and no other is", () => {
  expect(
    encodeControl({
      seq: 0,
      channel: 0,
      body: helloBody({ version: 1, incarnation: "a", received: 0, program: "p" }),
    })[0],
  ).toBeGreaterThan(0x7f);
  expect(encodeControl({ seq: 1, channel: 0, body: creditBody("in", 5) })[0]).toBe(0x08);
});

test("whatever comes, it is a frame or one error of ours", () => {
  const likely = fc
    .tuple(fc.constantFrom(0x08, 0x10, 0x1a, 0x82), fc.uint8Array({ maxLength: 60 }))
    .map(([first, rest]) => Buffer.from([first, ...rest]));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), likely), (bytes) => {
      try {
        decodeFrame([bytes.subarray(0, 7), bytes.subarray(7)]);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(AppError);
      }
    }),
    { numRuns: 1500 },
  );
});

test("a frame that was changed on its way is a frame or one error of ours, and never more bytes than there are", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 100 }),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
      fc.nat(),
      (bytes, changes, cut) => {
        const wire = Buffer.concat(encodeData({ seq: 1000, channel: 300, pipe: "err", bytes }));
        for (const [at, value] of changes) wire[at % wire.length] = value;
        const given = wire.subarray(0, wire.length - (cut % 3));
        try {
          const frame = decodeFrame([given.subarray(0, 9), given.subarray(9)]);
          if ("pieces" in frame) expect(Buffer.concat(frame.pieces).length).toBe(frame.length);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(AppError);
        }
      },
    ),
    { numRuns: 1500 },
  );
});
