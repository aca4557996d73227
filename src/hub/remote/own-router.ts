import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { RouterChange } from "../../contract/fleet/router.ts";
import { createLapBell } from "../leased-laps.ts";
import type { MountedEvent, MountedRouter } from "./mounted-router.ts";
import type { RecentEnds } from "./recent-ends.ts";
import type { RouterNews } from "./router-news.ts";

/** Carries what happens at the hub's own router into the store, in order, however long the store is away. */
export interface OwnRouterFeed {
  onEvent(event: MountedEvent): void;
  /** Until the signal; then what is left is written if the store lets it. */
  run(signal: AbortSignal): Promise<void>;
}

const RETRY_MS = 500;
const FIGURES_MS = 15_000;
/** The store was away for so many changes: the keeper finds out what the lost ones told. */
const MAX_WAITING = 10_000;
const MESSAGE_CHARACTERS = 1000;

export function createOwnRouterFeed(deps: {
  readonly router: () => MountedRouter | undefined;
  readonly news: RouterNews;
  readonly ends: RecentEnds;
  readonly clock: Clock;
  readonly log: Log;
}): OwnRouterFeed {
  const { router, news, ends, clock, log } = deps;
  const waiting: RouterChange[] = [];
  const bell = createLapBell();

  const put = (change: RouterChange) => {
    waiting.push(change);
    if (waiting.length > MAX_WAITING) waiting.shift();
    bell.ring();
  };

  const writeAll = async (id: string) => {
    for (let change = waiting[0]; change !== undefined; change = waiting[0]) {
      await news.take(id, { changes: [change], sessions: [] });
      if (waiting[0] === change) waiting.shift();
    }
  };

  return {
    onEvent: (event) => {
      const { id, ageMs, bytesToBox, bytesFromBox } = event.session;
      if (event.kind === "waiting") {
        const message = ends.messageOf(id);
        // Not while the router is about to take it in.
        if (message !== undefined) queueMicrotask(() => router()?.terminate(id, message));
        return;
      }
      if (event.kind === "open") {
        put({ id, what: "open", rendezvousMs: Math.round(ageMs) });
        return;
      }
      const { reason, by } = event.end;
      const message = event.end.message.slice(0, MESSAGE_CHARACTERS);
      put({ id, what: "parted", reason, message, ...(by === undefined ? {} : { by }), bytesToBox, bytesFromBox });
    },
    run: async (signal) => {
      let isAway = false;
      let figuresAtMs = clock.monotonicMs() + FIGURES_MS;
      while (!signal.aborted) {
        bell.silence();
        const own = router();
        try {
          if (own !== undefined) await writeAll(own.id);
          if (own !== undefined && clock.monotonicMs() >= figuresAtMs) {
            figuresAtMs = clock.monotonicMs() + FIGURES_MS;
            await news.take(own.id, { changes: [], sessions: own.list() });
          }
          isAway = false;
        } catch (thrown) {
          if (!isAway) log.warn(`What becomes of remote sessions cannot be written yet: ${messageOf(thrown)}`);
          isAway = true;
        }
        const rest = new AbortController();
        const pause = clock
          .delay(isAway ? RETRY_MS : FIGURES_MS, AbortSignal.any([signal, rest.signal]))
          .catch(() => undefined);
        await Promise.race(isAway ? [pause] : [pause, bell.untilRung()]);
        rest.abort();
      }
      const own = router();
      if (own !== undefined) await writeAll(own.id).catch(() => undefined);
    },
  };
}
