import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Service } from "../../base/service.ts";
import type { HubEvent } from "../store/event-log.ts";
import type { Store } from "../store/store.ts";
import type { EventSink } from "./event-sink.ts";
import { encodeBeat, encodeEvent } from "./frame.ts";
import { viewOfEvent } from "./hub-event-view.ts";
import { createLapQueue } from "./lap-queue.ts";

/** One person or program that watches the fleet. */
export interface Viewer {
  readonly sink: EventSink;
  /** The last event that was handed over; `undefined`: it wants what comes from now on. */
  cursor: string | undefined;
}

/** Events of the fleet to those who watch it. What is new is read and serialised once for all of them. */
export interface PeopleFeed extends Service {
  enter(viewer: Viewer): void;
  leave(viewer: Viewer): void;
  count(): number;
}

export interface PeopleFeedOptions {
  readonly beatMs: number;
}

interface Encoded {
  readonly after: string;
  readonly cursor: string;
  readonly bytes: Buffer;
}

const AT_ONCE = 16;
const EVENTS_A_READ = 200;
const RECENT_KEPT = 1000;
const WAITING_BYTES = 256 * 1024;
const STORE_RETRY_MS = 1000;
/** Each viewer is looked at without a hint this often. */
const LOOK_MS = 15_000;

export function createPeopleFeed(
  options: PeopleFeedOptions,
  deps: { readonly store: Store; readonly clock: Clock; readonly log: Log },
): PeopleFeed {
  const { store, clock, log } = deps;
  const viewers = new Set<Viewer>();
  const failed = new Set<Viewer>();
  /** The last events in their order, by the cursor before them: who is nearly up to date is served from here. */
  const recent = new Map<string, Encoded>();
  const beat = Buffer.from(encodeBeat(options.beatMs));

  const remember = (after: string, event: HubEvent): Encoded => {
    const known = recent.get(after);
    if (known !== undefined) return known;
    const data = JSON.stringify(viewOfEvent(event));
    const encoded = { after, cursor: event.cursor, bytes: Buffer.from(encodeEvent({ id: event.cursor, data })) };
    recent.set(after, encoded);
    if (recent.size > RECENT_KEPT) recent.delete(recent.keys().next().value ?? "");
    return encoded;
  };

  const sendRecent = (viewer: Viewer): void => {
    for (let next = recent.get(viewer.cursor ?? ""); next !== undefined; next = recent.get(next.cursor)) {
      if (viewer.sink.waitingBytes() > WAITING_BYTES) return;
      viewer.sink.send(next.bytes);
      viewer.cursor = next.cursor;
    }
  };

  const takeLap = async (viewer: Viewer) => {
    for (;;) {
      sendRecent(viewer);
      if (!viewer.sink.isOpen() || viewer.sink.waitingBytes() > WAITING_BYTES) return;
      const answer = await store.events.after(viewer.cursor, EVENTS_A_READ);
      if (answer.kind === "gone") {
        const data = JSON.stringify({ reason: answer.reason });
        viewer.sink.send(Buffer.from(encodeEvent({ event: "reset", id: answer.cursor, data })));
      } else if (viewer.cursor === undefined) {
        viewer.sink.send(Buffer.from(encodeEvent({ event: "ready", id: answer.cursor, data: "{}" })));
      } else {
        let at = viewer.cursor;
        for (const event of answer.events) {
          viewer.sink.send(remember(at, event).bytes);
          at = event.cursor;
        }
      }
      viewer.cursor = answer.cursor;
      if (answer.kind === "events" && answer.events.length < EVENTS_A_READ) return;
    }
  };

  const laps = createLapQueue<Viewer>({ atOnce: AT_ONCE }, async (viewer) => {
    try {
      await takeLap(viewer);
    } catch (thrown) {
      if (failed.size === 0) log.warn(`Those who watch cannot be told anything: ${messageOf(thrown)}`);
      failed.add(viewer);
    }
  });

  return {
    name: "events for people",
    count: () => viewers.size,
    enter: (viewer) => {
      viewers.add(viewer);
      viewer.sink.onDrain(() => laps.wake(viewer));
      viewer.sink.send(beat);
      laps.wake(viewer);
    },
    leave: (viewer) => {
      viewers.delete(viewer);
      failed.delete(viewer);
    },
    run: async (signal) => {
      const stopHints = store.onHint((hint) => {
        if (hint.kind !== "events" && hint.kind !== "all") return;
        for (const viewer of viewers) laps.wake(viewer);
      });
      try {
        for (let elapsedMs = 0; ; elapsedMs += STORE_RETRY_MS) {
          await clock.delay(STORE_RETRY_MS, signal);
          const again = [...failed];
          failed.clear();
          for (const viewer of again) laps.wake(viewer);
          if (elapsedMs % options.beatMs === 0) {
            for (const { sink } of viewers) if (sink.waitingBytes() === 0) sink.send(beat);
          }
          if (elapsedMs % LOOK_MS === 0) {
            for (const viewer of viewers) laps.wake(viewer);
          }
        }
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
      } finally {
        stopHints();
        for (const { sink } of viewers) sink.close("end");
      }
    },
  };
}
