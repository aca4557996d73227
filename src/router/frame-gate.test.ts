import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { prefixMessage } from "../base/grpc/grpc-messages.ts";
import { createFrameGate } from "./frame-gate.ts";
import { frameMessage } from "./router.fake.ts";

function pass(chunks: readonly Uint8Array[], maxMessageBytes?: number) {
  const out: Uint8Array[] = [];
  const gate = createFrameGate(maxMessageBytes);
  const activity: boolean[] = [];
  let thrown: unknown;
  try {
    for (const chunk of chunks) activity.push(gate.push(chunk, (piece) => out.push(Uint8Array.from(piece))));
  } catch (error) {
    thrown = error;
  }
  return { out: Buffer.concat(out), gate, activity, thrown };
}

function cutUp(wire: Buffer, cuts: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, turn = 0; at < wire.length; turn++) {
    const cut = cuts[turn % cuts.length] ?? 1;
    chunks.push(wire.subarray(at, at + cut));
    at += cut;
  }
  return chunks;
}

const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 8 });

describe("the gate for frames", () => {
  it("lets every frame through unchanged, wherever it is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 10 }), cuts, (frames, at) => {
        const wire = Buffer.concat(frames.map(frameMessage));
        const { out, gate, thrown } = pass(cutUp(wire, at));
        expect(thrown).toBeUndefined();
        expect(out.equals(wire)).toBe(true);
        expect(gate.isInMessage).toBe(false);
      }),
    );
  });

  it("lets through whole frames at most, of whatever comes, and never a message of another kind", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 6 }), cuts, (messages, at) => {
        const wire = Buffer.concat(messages.map((message) => prefixMessage(message)));
        const { out, thrown } = pass(cutUp(wire, at));
        expect(wire.subarray(0, out.length).equals(out)).toBe(true);
        const isFrame = (message: Uint8Array) =>
          message[0] === 0x12 && (message[1] ?? 0xff) < 0x80 && message[1] === message.length - 2;
        const bad = messages.findIndex((message) => !isFrame(message));
        if (bad === -1) expect(thrown).toBeUndefined();
        else {
          expect(thrown).toBeDefined();
          expect(out.length).toBe(messages.slice(0, bad).reduce((sum, { length }) => sum + 5 + length, 0));
        }
      }),
    );
  });

  it("hands on what it can at once, and holds no more than the head of a message", () => {
    const message = frameMessage(Buffer.alloc(1000, 8));
    const { out, gate } = pass([message.subarray(0, 7)]);
    expect([out.length, gate.isInMessage, gate.isForwardedPartly]).toEqual([0, true, false]);
    const more = pass([message.subarray(0, 500)]);
    expect([more.out.length, more.gate.isInMessage, more.gate.isForwardedPartly]).toEqual([500, true, true]);
  });

  it("tells frames of the link by their first byte", () => {
    const link = [0x82, 0x8a, 0x92, 0x9a].map((first) => frameMessage(Buffer.from([first, 1, 0])));
    const others = [Buffer.from([0x08, 1]), Buffer.from([0x10, 1, 0x7a, 0])].map(frameMessage);
    expect(pass([...link, ...others]).activity).toEqual([false, false, false, false, true, true]);
    expect(pass([frameMessage(Buffer.alloc(0))]).activity).toEqual([false]);
  });

  it.each([
    ["an empty message", prefixMessage(Buffer.alloc(0)), "an empty message"],
    ["a join", prefixMessage(Buffer.from([0x0a, 0])), "first byte is 10"],
    ["two fields", prefixMessage(Buffer.from([0x12, 1, 8, 0x1a, 0])), "a frame of 1 bytes in a message of 5"],
    ["a frame that is too short", prefixMessage(Buffer.from([0x12, 9, 8])), "a frame of 9 bytes in a message of 3"],
    ["a length without end", prefixMessage(Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff, 1])), "without a length"],
    ["a compressed message", Buffer.from([1, 0, 0, 0, 0]), "flag 1"],
    ["one that is too large", Buffer.from([0, 0, 0, 0, 101, 0x12]), "101 bytes; allowed: 100"],
  ])("refuses %s", (_, bytes, text) => {
    const { thrown, out } = pass([frameMessage(Buffer.from([8, 1])), bytes], 100);
    expect(String(thrown)).toContain(text);
    expect(out).toHaveLength(9);
  });
});
