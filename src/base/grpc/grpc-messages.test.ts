import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createMessageReader, createPieceReader, messagePrefix, prefixMessage } from "./grpc-messages.ts";

function read(chunks: readonly Uint8Array[], maxMessageBytes?: number) {
  const messages: Buffer[] = [];
  const reader = createMessageReader({
    onMessage: (message) => messages.push(Buffer.from(message)),
    ...(maxMessageBytes === undefined ? {} : { maxMessageBytes }),
  });
  for (const chunk of chunks) reader.push(chunk);
  return { messages, inMessage: reader.inMessage };
}

describe("messages of a gRPC stream", () => {
  it("come out as they went in, wherever the data is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 }),
        (messages, cuts) => {
          const wire = Buffer.concat(messages.map((message) => prefixMessage(message)));
          const chunks: Buffer[] = [];
          for (let at = 0, turn = 0; at < wire.length; turn++) {
            const cut = cuts[turn % cuts.length] ?? 1;
            chunks.push(wire.subarray(at, at + cut));
            at += cut;
          }
          const out = read(chunks);
          expect(out.messages).toEqual(messages.map((message) => Buffer.from(message)));
          expect(out.inMessage).toBe(false);
        },
      ),
    );
  });

  it("tells that the data ends in the middle of one", () => {
    const wire = prefixMessage(Buffer.from("abc"));
    for (let cut = 1; cut < wire.length; cut++) {
      expect(read([wire.subarray(0, cut)])).toEqual({ messages: [], inMessage: true });
    }
  });

  it("takes one of the greatest length and refuses a longer one by its prefix", () => {
    expect(read([prefixMessage(Buffer.alloc(10))], 10).messages).toHaveLength(1);
    expect(() => read([messagePrefix(11)], 10)).toThrow("11 bytes; allowed: 10");
    expect(() => read([Buffer.from([0, 0xff, 0xff, 0xff, 0xff])])).toThrow("4294967295 bytes; allowed: 4194304");
  });

  it("refuses a compressed one", () => {
    expect(() => read([Buffer.from([1, 0, 0, 0, 0])])).toThrow("flag 1; allowed: 0");
  });

  it("hands on without a copy what lies in one chunk", () => {
    const wire = prefixMessage(Buffer.from("abc"));
    let seen: Uint8Array | undefined;
    createMessageReader({ onMessage: (message) => (seen = message) }).push(wire);
    expect(seen?.buffer).toBe(wire.buffer);
  });

  it("come in pieces none of which is empty, wherever the data is cut", () => {
    const wire = Buffer.concat([prefixMessage(Buffer.from("abcdef")), prefixMessage(Buffer.from("gh"))]);
    for (let cut = 1; cut < wire.length; cut++) {
      const messages: (readonly Uint8Array[])[] = [];
      const reader = createPieceReader({ onMessage: (pieces) => messages.push(pieces) });
      reader.push(wire.subarray(0, cut));
      reader.push(wire.subarray(cut));
      expect(messages.map((pieces) => String(Buffer.concat(pieces)))).toEqual(["abcdef", "gh"]);
      expect(messages.flat().every((piece) => piece.length > 0)).toBe(true);
    }
  });
});
