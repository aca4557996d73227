import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  afterDelivery,
  afterGivingUp,
  EMPTY_QUEUE,
  enqueue,
  parseQueue,
  type QueueEntry,
  serializeQueue,
} from "./report-queue.ts";

const entry = (text: string): QueueEntry => ({
  kind: "occurrence",
  value: { at: "2026-01-15T10:30:45Z", kind: "exit", text },
});
const result: QueueEntry = {
  kind: "command-result",
  value: { id: "c", ok: true, text: "done", finishedAt: "2026-01-15T10:30:45Z" },
};
const filled = (count: number, bounds = { maxEntries: 100, maxBytes: 1e6 }) =>
  Array.from({ length: count }, (_, index) => entry(String(index))).reduce(
    (queue, next) => enqueue(queue, next, bounds),
    EMPTY_QUEUE,
  );
const numbers = (entries: readonly QueueEntry[]) =>
  entries.map(({ value }) => Number("text" in value ? value.text : ""));

describe("report queue", () => {
  it("drops the oldest beyond its bound, a tenth at once, and counts them", () => {
    const queue = filled(101);
    expect(queue.dropped).toBe(11);
    expect(numbers(queue.entries)[0]).toBe(11);
    expect(queue.entries).toHaveLength(90);
  });

  it("is bounded in bytes too, and one entry over the bound leaves nothing", () => {
    const bounds = { maxEntries: 1000, maxBytes: 2000 };
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 600, unit: "binary" }), { maxLength: 40 }), (texts) => {
        const queue = texts.reduce((held, text) => enqueue(held, entry(text), bounds), EMPTY_QUEUE);
        expect(Buffer.byteLength(queue.entries.map((held) => `${JSON.stringify(held)}\n`).join(""))).toBe(queue.bytes);
        expect(queue.bytes).toBeLessThanOrEqual(2000);
        expect(queue.entries.length + queue.dropped).toBe(texts.length);
      }),
    );
    expect(enqueue(EMPTY_QUEUE, entry("x".repeat(5000)), bounds)).toEqual({ entries: [], bytes: 0, dropped: 1 });
  });

  it("comes back from its text as it was", () => {
    const queue = enqueue({ ...filled(3), dropped: 7 }, result, { maxEntries: 10, maxBytes: 1e6 });
    expect(parseQueue(serializeQueue(queue))).toEqual({ queue, isClean: true });
  });

  it("reads every whole line of a file that was cut anywhere", () => {
    const text = serializeQueue({ ...filled(4), dropped: 2 });
    for (let length = 0; length <= text.length; length++) {
      const { queue, isClean } = parseQueue(text.slice(0, length));
      const whole = text.slice(0, length).split("\n").length - 1;
      expect(queue.entries.length, `cut at ${length}`).toBe(Math.max(0, whole - 1));
      expect(isClean).toBe(length === 0 || text[length - 1] === "\n");
    }
  });

  it("passes over lines that are not its own", () => {
    const text = `garbage\n{"kind":"occurrence","value":{}}\n[]\n{"kind":"dropped","value":"x"}\n${JSON.stringify(result)}\n`;
    expect(parseQueue(text)).toMatchObject({ queue: { entries: [result], dropped: 0 }, isClean: false });
  });

  it("forgets what was delivered and keeps what came or went meanwhile", () => {
    const before = filled(3);
    const after = enqueue(before, entry("3"), { maxEntries: 100, maxBytes: 1e6 });
    expect(numbers(afterDelivery({ ...after, dropped: 5 }, before.entries, 4).entries)).toEqual([3]);
    expect(afterDelivery({ ...after, dropped: 5 }, before.entries, 4).dropped).toBe(1);
    const [first] = after.entries;
    expect(first && afterGivingUp(after, first)).toMatchObject({ dropped: 1, entries: { length: 3 } });
  });
});
