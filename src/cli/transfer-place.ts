import type { HubClient } from "../client/hub-client.ts";
import type { CommandContext } from "./command-context.ts";
import { findBox } from "./find-box.ts";
import { type HubFlags, openHub } from "./hub-session.ts";
import { parseTransferPlace, type TransferPlace } from "./transfer-from-flags.ts";

export interface GivenPlaces {
  readonly source: string;
  readonly destination: string;
}

/** Boxes are ids. */
export interface TransferPlaces {
  readonly source: TransferPlace;
  readonly destination: TransferPlace;
}

/** The hub that is asked, and what a person called the two places. Rejects before anything is asked of a hub where one is no place. */
export async function openPlaces(
  given: GivenPlaces,
  flags: HubFlags,
  context: CommandContext,
): Promise<{ readonly hub: HubClient; readonly places: TransferPlaces }> {
  const { signal } = context;
  const source = parseTransferPlace(given.source, "SOURCE");
  const destination = parseTransferPlace(given.destination, "DESTINATION");
  const hub = await openHub(flags, context);
  const places = {
    source: await withBoxId(source, hub, signal),
    destination: await withBoxId(destination, hub, signal),
  };
  return { hub, places };
}

/** A person's word for a box, as its id. Rejects where no box, or more than one, is called so. */
async function withBoxId(place: TransferPlace, hub: HubClient, signal: AbortSignal): Promise<TransferPlace> {
  return place.box === undefined ? place : { ...place, box: (await findBox(hub, place.box, signal)).id };
}
