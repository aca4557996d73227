import { hubEventPageSchema, hubEventQuerySchema } from "../../contract/fleet/hub-event.ts";
import { type Route, route } from "../http/route.ts";
import type { Store } from "../store/store.ts";
import { createEventSink } from "./event-sink.ts";
import { viewOfEvent } from "./hub-event-view.ts";
import type { PeopleFeed, Viewer } from "./people-feed.ts";

/** A viewer that does not read is cut; it comes back with its cursor. */
const MAX_WAITING_BYTES = 2 * 1024 * 1024;

export function createPeopleEventsRoute(deps: { readonly store: Store; readonly feed: PeopleFeed }): Route {
  return route({
    method: "GET",
    path: "/v1/events",
    access: "viewer",
    summary: "What happens in the fleet: server-sent events with replay after Last-Event-ID, or a page as JSON",
    query: hubEventQuerySchema,
    answer: hubEventPageSchema,
    handle: async ({ query, lastEventId }) => {
      const after = query.after ?? lastEventId;
      if (after === undefined && query.recent === true) {
        const { events, cursor } = await deps.store.events.recent(query.limit);
        return { items: events.map(viewOfEvent), next: cursor };
      }
      const answer = await deps.store.events.after(after, query.limit);
      if (answer.kind === "gone") return { items: [], next: answer.cursor, gone: answer.reason };
      return { items: answer.events.map(viewOfEvent), next: answer.cursor };
    },
    stream: async (call, { response }) => {
      const sink = createEventSink(response, { maxWaitingBytes: MAX_WAITING_BYTES });
      const viewer: Viewer = { sink, cursor: call.lastEventId ?? call.query.after };
      await new Promise<void>((resolve) => {
        response.once("close", () => {
          deps.feed.leave(viewer);
          resolve();
        });
        response.on("error", () => response.destroy());
        call.signal.addEventListener("abort", () => sink.close("end"), { once: true });
        sink.open();
        deps.feed.enter(viewer);
      });
    },
  });
}
