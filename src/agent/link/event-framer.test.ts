import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createEventFramer, type FramedItem } from "./event-framer.ts";

const MAX = 64;
const frame = (...chunks: (string | Uint8Array)[]): FramedItem[] => {
  const framer = createEventFramer({ maxEventBytes: MAX });
  return chunks.flatMap((chunk) => framer.push(Buffer.from(chunk)));
};
const texts = (items: readonly FramedItem[]) =>
  items.map((item) => (item.kind === "block" ? Buffer.from(item.bytes).toString() : item));

describe("event framer", () => {
  it("hands out complete events with LF line ends and without comments and retry", () => {
    expect(texts(frame("event: a\r\n:c\r\ndata: 1\rretry: 5\r\r\n"))).toEqual([
      { kind: "comment", text: "c" },
      { kind: "retry", ms: 5 },
      "event: a\ndata: 1\n\n",
    ]);
  });

  it("tells a comment as soon as its line ends", () => {
    const framer = createEventFramer({ maxEventBytes: MAX });
    expect(framer.push(Buffer.from("data: 1\n: beat 15\n"))).toEqual([{ kind: "comment", text: " beat 15" }]);
    expect(texts(framer.push(Buffer.from("\n")))).toEqual(["data: 1\n\n"]);
  });

  it("hands an event out at the CR that ends it, without waiting for an LF", () => {
    expect(texts(frame("data: 1\r\r"))).toEqual(["data: 1\n\n"]);
  });

  it("drops an event over the limit, tells its size and id, and goes on with the next", () => {
    const items = texts(frame(`id: 7\ndata: ${"x".repeat(200)}\ndata: more\n\ndata: ok\n\n`));
    expect(items).toEqual([{ kind: "oversized", bytes: expect.any(Number), id: "7" }, "data: ok\n\n"]);
    expect(items[0]).toMatchObject({ bytes: 222 });
  });

  it("finds the id of an oversized event after its data too", () => {
    expect(texts(frame(`data: ${"x".repeat(5000)}\nid: 8\n\n`))).toMatchObject([{ kind: "oversized", id: "8" }]);
  });

  it("counts the lines of an event together", () => {
    expect(texts(frame("data: 12345678901234567890\n".repeat(3), "\ndata: ok\n\n"))).toMatchObject([
      { kind: "oversized" },
      "data: ok\n\n",
    ]);
  });

  it("does not count comments, however long, against the event they stand in", () => {
    const items = texts(frame(`data: a\n:${"c".repeat(10_000)}\ndata: b\n\n`));
    expect(items).toEqual([{ kind: "comment", text: expect.any(String) }, "data: a\ndata: b\n\n"]);
  });

  it("keeps an event of exactly the limit", () => {
    const data = `data: ${"x".repeat(MAX - 8)}\n\n`;
    expect(data).toHaveLength(MAX);
    expect(texts(frame(data))).toEqual([data]);
    expect(texts(frame(`data: ${"x".repeat(MAX - 7)}\n\n`))).toMatchObject([{ kind: "oversized" }]);
  });

  it("ignores an id that no header could carry back", () => {
    const framer = createEventFramer({ maxEventBytes: 10_000 });
    expect(framer.push(Buffer.from(`id: ${"i".repeat(1025)}\ndata: a\n\n`))).toMatchObject([
      { kind: "block", id: undefined },
    ]);
  });

  it("gives a large event's memory back", () => {
    const framer = createEventFramer({ maxEventBytes: 1_000_000 });
    framer.push(Buffer.from(`data: ${"x".repeat(900_000)}`));
    expect(framer.heldBytes()).toBeGreaterThan(900_000);
    expect(framer.push(Buffer.from("\n\n"))).toHaveLength(1);
    expect(framer.heldBytes()).toBeLessThan(65_536);
  });

  const piece = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        "data: x\n",
        "data\n",
        "\n",
        "\r",
        "\r\n",
        "id: 1\n",
        "id:\0\n",
        "retry: 9\n",
        ": c\n",
        "event: e\n",
        "\ufeff",
        ":",
      ),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((raw) => Buffer.from(raw).toString("latin1")) },
  );

  it("holds bounded memory and never throws, whatever comes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 20 }), (chunks) => {
        const framer = createEventFramer({ maxEventBytes: MAX });
        for (const chunk of chunks) {
          for (const item of framer.push(chunk)) {
            if (item.kind === "block") expect(item.bytes.length).toBeLessThanOrEqual(MAX);
          }
          expect(framer.heldBytes()).toBeLessThanOrEqual(8192);
        }
      }),
    );
  });

  it("gives the same items however the stream is cut", () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.array(fc.nat(50), { maxLength: 40 }), (pieces, sizes) => {
        const whole = Buffer.from(pieces.join(""), "latin1");
        const framer = createEventFramer({ maxEventBytes: MAX });
        const cut: FramedItem[] = [];
        let from = 0;
        for (const size of sizes) {
          cut.push(...framer.push(whole.subarray(from, from + size)));
          from += size;
        }
        cut.push(...framer.push(whole.subarray(from)));
        expect(texts(cut)).toEqual(texts(frame(whole)));
      }),
      { numRuns: 500 },
    );
  });

  it("frames a megabyte that comes byte by byte in linear time", () => {
    const framer = createEventFramer({ maxEventBytes: 2_000_000 });
    const body = Buffer.from(`data: ${"x".repeat(1_000_000)}\n\n`);
    let blocks = 0;
    for (let at = 0; at < body.length; at++) blocks += framer.push(body.subarray(at, at + 1)).length;
    expect(blocks).toBe(1);
  });
});
