import { AppError } from "../base/errors.ts";
import type { HubClient } from "../client/hub-client.ts";
import type { BoxView } from "../contract/fleet/box-view.ts";
import type { FleetWorkloadView } from "../contract/fleet/expected-view.ts";
import { IDENTIFIER_PATTERN } from "../contract/identifier-pattern.ts";
import { collect } from "./output.ts";
import { listCandidates, resolveName } from "./resolve-name.ts";

/** The box that a person means. Rejects with `not-found` or, with the candidates, `invalid`. */
export async function findBox(hub: HubClient, given: string, signal: AbortSignal): Promise<BoxView> {
  // A whole id is the usual case, and in a large fleet one request is cheaper than a search.
  if (IDENTIFIER_PATTERN.test(given)) {
    const exact = await hub.boxes.get(given, signal).catch(orNothing);
    if (exact !== undefined) return exact;
  }
  const boxes = given === "" ? [] : await collect(hub.boxes.list({ text: given }, signal));
  const resolution = resolveName(given, boxes);
  if (resolution.kind === "found") return resolution.item;
  throw notOne("box", given, resolution.kind === "several" ? resolution.candidates : [], "sluice box ls shows all");
}

/** `BOX/STREAM`, or `STREAM` where its name says enough. */
export interface StreamAddress {
  readonly box: string | undefined;
  readonly stream: string;
}

/** Throws `invalid` for what is neither. */
export function parseStreamAddress(text: string): StreamAddress {
  const parts = text.split("/");
  const [first = "", second = ""] = parts;
  if (parts.length === 1 && first !== "") return { box: undefined, stream: first };
  if (parts.length === 2 && first !== "" && second !== "") return { box: first, stream: second };
  throw new AppError("invalid", `STREAM: given ${JSON.stringify(text)}; allowed: BOX/STREAM, or STREAM alone`, {
    field: "STREAM",
  });
}

/** The stream that a person means, with its box. Rejects with `not-found` or, with the candidates, `invalid`. */
export async function findStream(hub: HubClient, given: string, signal: AbortSignal): Promise<FleetWorkloadView> {
  const address = parseStreamAddress(given);
  if (address.box !== undefined)
    return findStreamOfBox(hub, await findBox(hub, address.box, signal), address.stream, signal);
  const streams = await collect(hub.workloads.list({ text: address.stream }, signal));
  const items = streams.map((stream) => ({ id: stream.workload.id, name: stream.workload.name, stream }));
  const resolution = resolveName(address.stream, items);
  if (resolution.kind === "found") return resolution.item.stream;
  const candidates = resolution.kind === "several" ? resolution.candidates : [];
  throw notOne(
    "stream",
    given,
    candidates.map(({ id, name, stream }) => ({ id: `${stream.box}/${id}`, name })),
    "sluice stream ls shows all",
  );
}

async function findStreamOfBox(
  hub: HubClient,
  box: BoxView,
  given: string,
  signal: AbortSignal,
): Promise<FleetWorkloadView> {
  const { items } = await hub.boxes.expected(box.id, signal);
  const named = items.map((entry) => ({ id: entry.workload.id, name: entry.workload.name, entry }));
  const resolution = resolveName(given, named);
  if (resolution.kind === "found") return { ...resolution.item.entry, box: box.id, boxName: box.name };
  const candidates = resolution.kind === "several" ? resolution.candidates : [];
  throw notOne(`stream of ${box.id}`, given, candidates, `sluice stream ls --box ${box.id} shows them`);
}

export function orNothing(error: unknown): undefined {
  if (error instanceof AppError && error.code === "not-found") return undefined;
  throw error;
}

export function notOne(
  noun: string,
  given: string,
  candidates: Parameters<typeof listCandidates>[0],
  hint: string,
): AppError {
  if (candidates.length === 0)
    return new AppError("not-found", `no ${noun} is called ${JSON.stringify(given)}; ${hint}`);
  return new AppError(
    "invalid",
    `${JSON.stringify(given)} may be any of ${candidates.length}: ${listCandidates(candidates)}. Say more of the name`,
  );
}
