import type { Clock } from "../../base/clock.ts";

/** What time it is at the server, by its answers' `Date`: a box's own wall clock may be years off. */
export interface ServerClock {
  /** `askedAtMs`: monotonic time at which the request went out. */
  heard(serverMs: number, askedAtMs: number): void;
  /** Never behind the server's own clock, and ahead of it by at most a second and the time its answer took. */
  nowMs(): number;
}

/** `Date` tells whole seconds, cut off. */
const DATE_RESOLUTION_MS = 999;

/** Until a server has told the time, this machine's own counts. */
export function createServerClock(clock: Pick<Clock, "wallMs" | "monotonicMs">): ServerClock {
  let heard: { readonly serverMs: number; readonly askedAtMs: number } | undefined;
  return {
    heard: (serverMs, askedAtMs) => {
      heard = { serverMs: serverMs + DATE_RESOLUTION_MS, askedAtMs };
    },
    nowMs: () => (heard === undefined ? clock.wallMs() : heard.serverMs + (clock.monotonicMs() - heard.askedAtMs)),
  };
}
