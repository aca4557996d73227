import type { HubEventView } from "../../contract/fleet/hub-event.ts";
import type { HubEvent } from "../store/event-log.ts";

export function viewOfEvent({ cursor, atMs, kind, boxId, workloadId, text, data }: HubEvent): HubEventView {
  return {
    cursor,
    at: new Date(atMs).toISOString(),
    kind,
    ...(boxId === undefined ? {} : { box: boxId }),
    ...(workloadId === undefined ? {} : { workload: workloadId }),
    text,
    ...(data === undefined ? {} : { data: { ...data } }),
  };
}
