import type { Report } from "../../contract/report.ts";
import { contacts, knownBoxes, reports, sessionTopic, tunnelTopic } from "./box-documents.ts";
import { type BoxContact, type BoxReport, followReport, judgeReport, type ReportAnswer } from "./box-report.ts";
import { type Engine, keyOf, type Outcome, type Put, putOf } from "./engine.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";
import { sessionDigest, tunnelDigest } from "./report-digests.ts";

/**
 * What boxes say of themselves. Relaxed durability: a box says it again within seconds. A report that tells something new of the
 * box's ends of tunnels wakes `{kind: "tunnel-facts"}` on every hub, one that tells something new of its sessions
 * `{kind: "session-facts"}`.
 */
export interface ReportStore {
  put(boxId: string, report: Report, nowMs: number): Promise<ReportAnswer>;
  /**
   * As `put`, of the report that `build` makes of the one that is held; that one comes back with it. `build` must be pure, and may
   * be called again; what it throws ends the verb with nothing written.
   */
  follow(boxId: string, build: (held: BoxReport | undefined) => Report, nowMs: number): Promise<FollowedReport>;
  get(boxId: string): Promise<BoxReport | undefined>;
  list(page: PageRequest): Promise<Page<BoxReport>>;
  /**
   * Notes that boxes were heard. A hub gathers these and hands in many at once every few seconds, not one a heartbeat.
   * A time before the one that is there is dropped; a box that is not known too.
   */
  noteContacts(heard: readonly BoxContact[]): Promise<void>;
  contact(boxId: string): Promise<BoxContact | undefined>;
  listContacts(page: PageRequest): Promise<Page<BoxContact>>;
}

export type FollowedReport =
  | { readonly answer: "unknown-box" }
  | {
      readonly answer: Exclude<ReportAnswer, "unknown-box">;
      readonly report: Report;
      /** The one before it. */
      readonly held: BoxReport | undefined;
    };

const CONTACTS_AT_ONCE = 250;

export function createReportStore(engine: Engine): ReportStore {
  const follow: ReportStore["follow"] = (boxId, build, nowMs) =>
    engine.transact([keyOf(knownBoxes, boxId), keyOf(reports, boxId)], ([isKnown, held]): Outcome<FollowedReport> => {
      if (isKnown === undefined) return { answer: { answer: "unknown-box" } };
      const report = build(held);
      const answer = judgeReport(held, report);
      if (answer !== "accepted") return { answer: { answer, report, held } };
      const body = followReport(held, { boxId, receivedMs: nowMs, report });
      return {
        answer: { answer, report, held },
        puts: [putOf(keyOf(reports, boxId), body)],
        wakes: newsOf(boxId, held?.report, report),
        durability: "relaxed",
      };
    });
  return {
    follow,
    put: async (boxId, report, nowMs) => (await follow(boxId, () => report, nowMs)).answer,
    get: async (boxId) => (await engine.read([keyOf(reports, boxId)]))[0],
    list: (page) => readPage(engine, reports, { ...page, pick: (report) => report }),
    noteContacts: async (heard) => {
      for (let from = 0; from < heard.length; from += CONTACTS_AT_ONCE) {
        await noteSome(engine, heard.slice(from, from + CONTACTS_AT_ONCE));
      }
    },
    contact: async (boxId) => (await engine.read([keyOf(contacts, boxId)]))[0],
    listContacts: (page) => readPage(engine, contacts, { ...page, pick: (contact) => contact }),
  };
}

/** Pure. */
function newsOf(boxId: string, held: Report | undefined, report: Report): readonly string[] {
  const wakes: string[] = [];
  if (tunnelDigest(held) !== tunnelDigest(report)) wakes.push(tunnelTopic(boxId));
  if (sessionDigest(held) !== sessionDigest(report)) wakes.push(sessionTopic(boxId));
  return wakes;
}

async function noteSome(engine: Engine, heard: readonly BoxContact[]): Promise<void> {
  // Known boxes are looked up outside: a box that changes meanwhile must not make the whole batch begin again.
  const known = await engine.read(heard.map(({ boxId }) => keyOf(knownBoxes, boxId)));
  const wanted = heard.filter((_contact, index) => known[index] !== undefined);
  const latest = new Map(
    wanted.toSorted((one, other) => one.lastContactMs - other.lastContactMs).map((contact) => [contact.boxId, contact]),
  );
  const keys = [...latest.keys()].map((boxId) => keyOf(contacts, boxId));
  await engine.transact(keys, (held): Outcome<void> => {
    const puts: Put[] = [...latest.values()].flatMap((contact, index) => {
      const before = held[index];
      if (before !== undefined && before.lastContactMs >= contact.lastContactMs) return [];
      return [putOf(keyOf(contacts, contact.boxId), contact)];
    });
    return { answer: undefined, puts, durability: "relaxed" };
  });
}
