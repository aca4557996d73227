import type { WireEvent } from "../../contract/wire-event.ts";

export interface Delivery {
  readonly event: WireEvent;
  /** The id that the event carried; `undefined` when it carried none. */
  readonly cursorId: string | undefined;
}

/**
 * For servers that repeat their starts after each connect and have no snapshot: the starts of the window become one whole
 * set. What the server did not name in the window is thereby no longer expected. Invariants:
 * - a window in which no start came says nothing, so a server that is late or has lost its state stops no stream;
 * - a window cut short is no whole set: its starts are handed on one by one;
 * - a server that sends a set of its own needs no window: the set counts, and what was collected before it is superseded.
 */
export interface ReplayWindow {
  open(): void;
  /** What to deliver now; empty while the event is collected. */
  offer(delivery: Delivery): readonly Delivery[];
  /** The window's time is over. */
  complete(): readonly Delivery[];
  /** The connection ended first. */
  abandon(): readonly Delivery[];
}

export function createReplayWindow(): ReplayWindow {
  let isOpen = false;
  let held: Delivery[] = [];

  const close = () => {
    const collected = held;
    isOpen = false;
    held = [];
    return collected;
  };
  const without = (id: string) => held.filter(({ event }) => !(event.kind === "start" && event.workload.id === id));

  return {
    open: () => {
      isOpen = true;
      held = [];
    },
    offer: (delivery) => {
      const { event } = delivery;
      if (!isOpen) return [delivery];
      switch (event.kind) {
        case "command":
        case "hold":
        case "ready":
          return [delivery];
        case "start":
          held = [...without(event.workload.id), delivery];
          return [];
        case "stop":
          held = without(event.workloadId);
          return [delivery];
        case "snapshot":
        case "whole":
        case "change":
          close();
          return [delivery];
      }
    },
    complete: () => {
      const collected = close();
      const workloads = collected.flatMap(({ event }) => (event.kind === "start" ? [event.workload] : []));
      if (workloads.length === 0) return [];
      const cursorId = collected.findLast((delivery) => delivery.cursorId !== undefined)?.cursorId;
      return [{ event: { kind: "whole", workloads, rejected: [], confirm: false }, cursorId }];
    },
    abandon: close,
  };
}
