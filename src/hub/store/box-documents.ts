import type { Box } from "./box.ts";
import type { BoxHistory } from "./box-history.ts";
import type { BoxContact, BoxReport } from "./box-report.ts";
import type { BoxCommands } from "./command-list.ts";
import { type Collection, collection, type DocumentKey, type Log, presenceIn } from "./engine.ts";
import type { ExpectedDiff, ExpectedSet } from "./expected-set.ts";
import type { Point, SeriesStep, Thinning } from "./thinning.ts";

/** Where everything of a box lies: one place, so that forgetting a box forgets all of it. */
export const boxes = collection<Box>("box");
/** For who asks only whether there is such a box. */
export const knownBoxes = presenceIn(boxes);
/** From the hash of a key to whose it is. */
export const keyOwners = collection<{ readonly boxId: string }>("box-key");
export const expectedSets = collection<ExpectedSet>("expected");
export const contacts = collection<BoxContact>("contact");
export const reports = collection<BoxReport>("report");
export const histories = collection<BoxHistory>("history");
export const commandLists = collection<BoxCommands>("command");
export const thinnings = collection<Thinning>("thinning");

const BOX_COLLECTIONS: readonly Collection<unknown>[] = [
  boxes,
  expectedSets,
  contacts,
  reports,
  histories,
  commandLists,
  thinnings,
];

export const SERIES_STEPS: readonly SeriesStep[] = ["15s", "1m", "15m"];

export function expectedLog(boxId: string): Log<ExpectedDiff> {
  return { name: `expected/${boxId}` };
}

export function seriesLog(boxId: string, step: SeriesStep): Log<Point> {
  return { name: `telemetry/${boxId}/${step}` };
}

/** All documents of a box; its keys are found through the box itself. */
export function boxDocuments(boxId: string): readonly DocumentKey<unknown>[] {
  return BOX_COLLECTIONS.map((of) => ({ collection: of, id: boxId }));
}

export function boxLogs(boxId: string): readonly Log<unknown>[] {
  return [expectedLog(boxId), ...SERIES_STEPS.map((step) => seriesLog(boxId, step))];
}

const BOX_TOPIC = "box/";
const SET_TOPIC = "set/";

/** The record of the box, or its commands. */
export function boxTopic(boxId: string): string {
  return `${BOX_TOPIC}${boxId}`;
}

export function boxOfTopic(topic: string): string | undefined {
  return topic.startsWith(BOX_TOPIC) ? topic.slice(BOX_TOPIC.length) : undefined;
}

/** What the box should run. */
export function setTopic(boxId: string): string {
  return `${SET_TOPIC}${boxId}`;
}

export function boxOfSetTopic(topic: string): string | undefined {
  return topic.startsWith(SET_TOPIC) ? topic.slice(SET_TOPIC.length) : undefined;
}

const TUNNEL_TOPIC = "tunnel-facts/";

export function tunnelTopic(boxId: string): string {
  return `${TUNNEL_TOPIC}${boxId}`;
}

export function boxOfTunnelTopic(topic: string): string | undefined {
  return topic.startsWith(TUNNEL_TOPIC) ? topic.slice(TUNNEL_TOPIC.length) : undefined;
}

const SESSION_TOPIC = "session-facts/";

export function sessionTopic(boxId: string): string {
  return `${SESSION_TOPIC}${boxId}`;
}

export function boxOfSessionTopic(topic: string): string | undefined {
  return topic.startsWith(SESSION_TOPIC) ? topic.slice(SESSION_TOPIC.length) : undefined;
}
