import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { WireEvent } from "../../contract/wire-event.ts";
import { createReplayWindow, type Delivery } from "./replay-window.ts";

const start = (id: string, cursorId?: string): Delivery => ({
  event: {
    kind: "start",
    workload: { kind: "stream", id, spec: { input: { url: "test://bars" }, outputs: [{ url: `udp://h/${id}` }] } },
  },
  cursorId,
});
const stop = (id: string): Delivery => ({ event: { kind: "stop", workloadId: id }, cursorId: undefined });
const whole: Delivery = { event: { kind: "whole", workloads: [], rejected: [], confirm: true }, cursorId: "9" };

describe("replay window", () => {
  it("lets everything through while it is closed", () => {
    const window = createReplayWindow();
    expect(window.offer(start("a"))).toEqual([start("a")]);
    expect(window.complete()).toEqual([]);
  });

  it("gives one set with the last id that any of its starts carried", () => {
    const window = createReplayWindow();
    window.open();
    expect([start("a", "1"), start("b", "2"), start("c")].flatMap(window.offer)).toEqual([]);
    expect(window.complete()).toMatchObject([
      { event: { kind: "whole", workloads: [{ id: "a" }, { id: "b" }, { id: "c" }], confirm: false }, cursorId: "2" },
    ]);
    expect(window.offer(start("d"))).toEqual([start("d")]);
  });

  it("passes commands and stops at once", () => {
    const window = createReplayWindow();
    window.open();
    const command: WireEvent = { kind: "command", id: "c", name: "n", args: {}, deadlineMs: undefined };
    expect(window.offer({ event: command, cursorId: undefined })).toHaveLength(1);
    expect(window.offer(stop("x"))).toEqual([stop("x")]);
    expect(window.complete()).toEqual([]);
  });

  it("gives way to a set that the server sends itself", () => {
    const window = createReplayWindow();
    window.open();
    window.offer(start("a"));
    expect(window.offer(whole)).toEqual([whole]);
    expect(window.offer(start("b"))).toEqual([start("b")]);
    expect(window.complete()).toEqual([]);
  });

  it("hands single starts on when it is cut short", () => {
    const window = createReplayWindow();
    window.open();
    window.offer(start("a"));
    window.offer(start("b"));
    expect(window.abandon()).toEqual([start("a"), start("b")]);
    expect(window.abandon()).toEqual([]);
  });

  it("ends with what applying the starts and stops one by one would leave running", () => {
    const step = fc.record({ isStart: fc.boolean(), id: fc.constantFrom("a", "b", "c", "d") });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const window = createReplayWindow();
        window.open();
        const running = new Set<string>();
        for (const { isStart, id } of steps) {
          window.offer(isStart ? start(id) : stop(id));
          if (isStart) running.add(id);
          else running.delete(id);
        }
        const ids = window
          .complete()
          .flatMap(({ event }) => (event.kind === "whole" ? event.workloads.map((held) => held.id) : []));
        expect(ids.sort()).toEqual([...running].sort());
      }),
    );
  });
});
