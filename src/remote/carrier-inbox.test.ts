import { expect, it } from "vitest";
import type { CarrierEnd } from "./carrier.ts";
import { createCarrierInbox } from "./carrier-inbox.ts";

const DONE: CarrierEnd = { reason: "peer-done", message: "the other end is done" };
const BROKEN: CarrierEnd = { reason: "broken", message: "it broke" };
const frame = (byte: number) => [Uint8Array.of(byte)];

/** What is heard, in order. */
function listener(onFrame: (byte: number) => void = () => undefined) {
  const heard: unknown[] = [];
  return {
    heard,
    handlers: {
      onFrame: (pieces: readonly Uint8Array[]) => {
        const byte = pieces[0]?.[0] ?? -1;
        heard.push(byte);
        onFrame(byte);
      },
      onDrain: () => void heard.push("drain"),
      onEnd: ({ reason }: CarrierEnd) => void heard.push(reason),
    },
  };
}

it("keeps what comes before anybody listens, and tells it in order, the end last", () => {
  const inbox = createCarrierInbox();
  inbox.onFrame(frame(1));
  inbox.onFrame(frame(2));
  inbox.onEnd(DONE);
  expect([inbox.isHeard, inbox.isOver]).toEqual([false, true]);
  const { heard, handlers } = listener();
  inbox.listen(handlers);
  expect(heard).toEqual([1, 2, "peer-done"]);
  expect(inbox.isHeard).toBe(true);
});

it("hands on at once what comes once somebody listens", () => {
  const inbox = createCarrierInbox();
  const { heard, handlers } = listener();
  inbox.onDrain();
  inbox.listen(handlers);
  inbox.onFrame(frame(1));
  inbox.onDrain();
  inbox.onEnd(DONE);
  expect(heard).toEqual([1, "drain", "peer-done"]);
});

it("tells one end and nothing after it, whether it was heard or waits", () => {
  const early = createCarrierInbox();
  const late = createCarrierInbox();
  const { heard, handlers } = listener();
  late.listen(handlers);
  for (const inbox of [early, late]) {
    inbox.onEnd(DONE);
    inbox.onEnd(BROKEN);
    inbox.onFrame(frame(1));
  }
  expect(heard).toEqual(["peer-done"]);
  const other = listener();
  early.listen(other.handlers);
  expect(other.heard).toEqual(["peer-done"]);
});

it("tells no more of what waits when whoever listens ends it over a frame", () => {
  const inbox = createCarrierInbox();
  for (const byte of [1, 2, 3]) inbox.onFrame(frame(byte));
  const { heard, handlers } = listener((byte) => {
    if (byte === 2) inbox.onEnd(BROKEN);
  });
  inbox.listen(handlers);
  expect(heard).toEqual([1, 2, "broken"]);
});
