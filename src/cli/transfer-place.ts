import type { HubClient } from "../client/hub-client.ts";
import { findBox } from "./find-box.ts";
import type { TransferPlace } from "./transfer-from-flags.ts";

/** A person's word for a box, as its id. Rejects where no box, or more than one, is called so. */
export async function withBoxId(place: TransferPlace, hub: HubClient, signal: AbortSignal): Promise<TransferPlace> {
  return place.box === undefined ? place : { ...place, box: (await findBox(hub, place.box, signal)).id };
}
