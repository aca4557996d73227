import { isSameJson } from "../../base/same-json.ts";
import type { BoxConnection } from "../../contract/fleet/box-view.ts";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import type { SessionPower, VolumeRule } from "../../contract/session-spec.ts";
import type { SessionWorkload } from "../../contract/workload.ts";
import type { Box } from "../store/box.ts";
import type { BoxReport } from "../store/box-report.ts";
import type { NewEvent } from "../store/event-log.ts";
import type { ExpectedEntry, ExpectedSet } from "../store/expected-set.ts";
import { type HomeAnswer, MOST_TRIED, refusalsOf } from "./box-refusals.ts";
import { isSelected } from "./choose-box.ts";
import { firstProgress, type LeavingBox, ownerOf, type Session, type SessionProgress } from "./session-record.ts";
import { type Standing, standingOf } from "./session-standing.ts";
import { farewellOf, workloadOf } from "./session-workload.ts";

/** What the hub knows of a box on which a session is, or was. */
export interface BoxFacts {
  /** `undefined`: it was forgotten. */
  readonly box: Pick<Box, "state" | "draining" | "labels"> | undefined;
  readonly connection: BoxConnection;
  readonly lastContactMs: number | undefined;
  /** Wall time at which it counts as lost, if it is not heard until then; `undefined` while it is heard. */
  readonly lostAtMs: number | undefined;
  readonly report: BoxReport | undefined;
  /** What it should run; `undefined` where there is no box. */
  readonly set: ExpectedSet | undefined;
}

export interface SessionSeen {
  /** Those of `boxesOf` the progress. */
  readonly boxes: ReadonlyMap<string, BoxFacts>;
  /** Why its seat cannot be had as it should be now. */
  readonly shortOf: string | undefined;
  readonly nowMs: number;
}

export interface SessionPlan {
  readonly progress: SessionProgress;
  /** What people should hear, in one step with the progress. */
  readonly event: NewEvent | undefined;
  /** Parts of expected sets that have to be made exactly this. */
  readonly writes: readonly { readonly boxId: string; readonly entries: readonly ExpectedEntry[] }[];
  /** Its box has carried out a later wish than this memory holds: it was restored from an earlier state. */
  readonly laterPower: SessionPower | undefined;
  /** It should be on another box than now, or on any: those are out of the question, with the reason. */
  readonly wantsBox: { readonly avoid: ReadonlyMap<string, string> } | undefined;
  /** It is ending, and no box has anything of it any more. */
  readonly isOver: boolean;
  /** Wall time at which something is due without any word from outside. */
  readonly dueMs: number | undefined;
}

/**
 * Pure and level-triggered: from what is there to what has to be written next. Carried out wholly, in part or not at all, the
 * next plan goes on from there.
 */
export function planSession(session: Session, held: SessionProgress | undefined, seen: SessionSeen): SessionPlan {
  const before = homed(held ?? firstProgress(session), seen);
  const { box: homeId } = before;
  const home = homeId === undefined ? undefined : seen.boxes.get(homeId);
  const leaving = leavingOf(session, before, seen);
  const answer = homeId === undefined || home === undefined ? undefined : answerOf(session, homeId, home);
  const refusals = [...refusalsOf(session, before.refusals, answer)];
  const hasBegun = answer !== undefined && answer.refusal === undefined ? true : before.hasBegun;
  const known = { ...before, leaving, refusals, ...(hasBegun === undefined ? {} : { hasBegun }) };
  const farewells = leaving.flatMap((one) => partingWrites(session, one.box, seen.boxes.get(one.box), undefined));
  const plan = (
    standing: Standing,
    more: Partial<Pick<SessionPlan, "writes" | "wantsBox" | "isOver">> = {},
  ): SessionPlan => ({
    ...turnOf(session, held ?? firstProgress(session), known, { standing, nowMs: seen.nowMs }),
    writes: [...farewells, ...(more.writes ?? [])],
    laterPower: home === undefined ? undefined : laterPower(session, home),
    wantsBox: more.wantsBox,
    isOver: more.isOver ?? false,
    dueMs: dueOf(session, { home, leaving, seen }),
  });

  const { ending } = session;
  if (ending !== undefined) {
    const own = homeId === undefined ? [] : partingWrites(session, homeId, home, ending.volumes);
    const isOver = leaving.length === 0 && (home === undefined || hasLetGo(session.id, home));
    return plan({ state: "stopping", reason: endingReason(homeId, home, leaving) }, { writes: own, isOver });
  }
  if (homeId === undefined || home === undefined) {
    const state = before.placement === undefined ? "pending" : "unplaced";
    const reason = before.placement?.reason ?? "its box is being chosen";
    return plan({ state, reason }, { wantsBox: { avoid: new Map() } });
  }
  const departure = departureOf(session, known, { homeId, home }, seen.nowMs);
  const note = departure?.note;
  const wantsBox =
    departure === undefined || departure.stays ? undefined : { avoid: new Map([[homeId, departure.reason]]) };
  const { standing, writes } = atHome(session, { homeId, home, leaving, before }, seen.shortOf);
  const reason = [note, standing.reason].filter((text) => text !== undefined).join("; ");
  return plan({ state: standing.state, ...(reason === "" ? {} : { reason }) }, { writes, wantsBox });
}

/** A box that is gone is no home. */
function homed(progress: SessionProgress, { boxes, nowMs }: SessionSeen): SessionProgress {
  const { box: homeId, hasBegun: _hasBegun, ...homeless } = progress;
  if (homeId === undefined) return progress;
  const box = boxes.get(homeId)?.box;
  if (box !== undefined && box.state !== "revoked") return progress;
  const reason = `${homeId} was ${box === undefined ? "forgotten" : "revoked"}`;
  return { ...homeless, placement: { reason, atMs: nowMs, passedOver: [] } };
}

function leavingOf({ id }: Session, { leaving }: SessionProgress, { boxes }: SessionSeen): LeavingBox[] {
  return leaving.filter(({ box }) => {
    const facts = boxes.get(box);
    return facts !== undefined && !hasLetGo(id, facts);
  });
}

/** Pure. What the box last said of the session. */
export function statusOf(id: string, { report }: Pick<BoxFacts, "report">): WorkloadStatus | undefined {
  return report?.report.workloads.find((workload) => workload.id === id && workload.kind === "session");
}

function ownPart(id: string, set: ExpectedSet | undefined): readonly ExpectedEntry[] {
  return set?.entries.filter(({ owner }) => owner === ownerOf(id)) ?? [];
}

/** It has taken over a set without the session, and tells nothing of it any more; or there is no box. */
function hasLetGo(id: string, facts: BoxFacts): boolean {
  const { box, set, report } = facts;
  if (box === undefined || box.state === "revoked" || set === undefined) return true;
  if (ownPart(id, set).length > 0 || statusOf(id, facts) !== undefined) return false;
  // Nobody ever told it.
  return set.revision === 0 || hasApplied(set, report);
}

function hasApplied({ epoch, revision }: ExpectedSet, report: BoxReport | undefined): boolean {
  const applied = report?.report.applied;
  return applied?.epoch === epoch && (applied.revision ?? -1) >= revision;
}

/**
 * What takes the session away from a box. One that was not told of it in this life of its set keeps it until it is: so it is told
 * first what it told itself, in a form in which it does not run. The same where its volumes are to fare otherwise than it knows.
 */
function partingWrites(
  session: Session,
  boxId: string,
  facts: BoxFacts | undefined,
  volumes: VolumeRule | undefined,
): SessionPlan["writes"] {
  const set = facts?.set;
  if (facts?.box === undefined || set === undefined) return [];
  const own = ownPart(session.id, set);
  const unclaimed = statusOf(session.id, facts)?.session?.unclaimed;
  if (own.length === 0 && (unclaimed === undefined || obstacleOf(session.id, set) !== undefined)) return [];
  if (unclaimed === undefined && volumes === undefined) return [{ boxId, entries: [] }];
  const known = unclaimed === undefined ? workloadOf(session) : { ...workloadOf(session), ...unclaimed };
  const farewell = entryOf(session, farewellOf(known, session.power.turn + 1, volumes));
  if (!isSameJson(own, [farewell])) return [{ boxId, entries: [farewell] }];
  return hasApplied(set, facts.report) ? [{ boxId, entries: [] }] : [];
}

function entryOf({ id }: Session, workload: SessionWorkload): ExpectedEntry {
  return { workload, owner: ownerOf(id), desired: "running" };
}

function obstacleOf(id: string, set: ExpectedSet | undefined): string | undefined {
  const other = set?.entries.find(({ workload, owner }) => workload.id === id && owner !== ownerOf(id));
  if (other === undefined) return undefined;
  return `its place is taken by the workload ${id}, which ${other.owner ?? "a person"} put there`;
}

interface Home {
  readonly homeId: string;
  readonly home: BoxFacts;
  readonly leaving: readonly LeavingBox[];
  readonly before: SessionProgress;
}

/** What the box has carried out last, where that is later than what is held. */
function laterPower({ id, power, ending }: Session, home: BoxFacts): SessionPower | undefined {
  const status = statusOf(id, home)?.session;
  if (status === undefined || ending !== undefined || status.turn <= power.turn) return undefined;
  return { state: status.sleep?.because === "asked" ? "hibernated" : "running", turn: status.turn };
}

/** How it stands on its box, and what the box has to be told. */
function atHome(
  session: Session,
  { homeId, home, leaving, before }: Home,
  shortOf: string | undefined,
): { readonly standing: Standing; readonly writes: SessionPlan["writes"] } {
  const obstacle = obstacleOf(session.id, home.set);
  if (obstacle !== undefined) return { standing: { state: "refused", reason: obstacle }, writes: [] };
  const wanted = entryOf(session, workloadOf(session));
  const own = ownPart(session.id, home.set);
  const isThere = own.length === 1 && isSameJson(own[0], wanted);
  const status = statusOf(session.id, home);
  const sight = { boxId: homeId, ...home, status, isCut: (home.report?.report.omittedWorkloads ?? 0) > 0 };
  const standing = standingOf({ ...sight, power: session.power }, before.state);
  if (isThere) return { standing, writes: [] };
  // Of what it has elsewhere it must be rid before it starts here; of a box that is lost nobody knows.
  const blocker = own.length === 0 ? leaving.find(({ isLost }) => !isLost) : undefined;
  if (blocker !== undefined) {
    const reason = `it moves from ${blocker.box}, which has not let go of it yet`;
    return { standing: { state: "pending", reason }, writes: [] };
  }
  if (shortOf !== undefined) {
    const state = standing.state === "pending" ? "unplaced" : standing.state;
    return { standing: { state, reason: `it waits for room on ${homeId}: ${shortOf}` }, writes: [] };
  }
  return { standing, writes: [{ boxId: homeId, entries: [wanted] }] };
}

/** What its box has said of the form in which it should run it now. */
function answerOf(session: Session, homeId: string, home: BoxFacts): HomeAnswer | undefined {
  const { set, report } = home;
  const status = statusOf(session.id, home);
  if (set === undefined || report === undefined || status === undefined || !hasApplied(set, report)) return undefined;
  const own = ownPart(session.id, set);
  if (own.length !== 1 || !isSameJson(own[0], entryOf(session, workloadOf(session)))) return undefined;
  const refusal = status.state === "refused" ? (status.cause ?? "it does not say why") : undefined;
  return { box: homeId, run: report.report.session, refusal };
}

interface Departure {
  readonly reason: string;
  /** It should not be there, and is all the same. */
  readonly stays: boolean;
  /** For people, beside what its box tells. */
  readonly note?: string;
}

/** Why it should not be on its box. */
function departureOf(
  session: Session,
  progress: SessionProgress,
  { homeId, home }: { readonly homeId: string; readonly home: BoxFacts },
  nowMs: number,
): Departure | undefined {
  const { wish } = session;
  if (wish.box !== undefined && wish.box !== homeId) {
    const reason = `the wish names ${wish.box}`;
    return { reason, stays: false, note: reason };
  }
  const tie = tieOf(session, progress, statusOf(session.id, home));
  const isLost = home.lostAtMs !== undefined && nowMs >= home.lostAtMs;
  const reason = isLost
    ? wish.onLost === "move"
      ? `${homeId} is lost`
      : undefined
    : home.box?.draining === true
      ? `${homeId} is draining`
      : home.box !== undefined && !isSelected(wish, home.box.labels)
        ? `the labels of ${homeId} do not match ${wish.select}`
        : undefined;
  if (reason !== undefined) {
    return { reason, stays: tie !== undefined, note: tie === undefined ? reason : `${reason}, and it stays: ${tie}` };
  }
  const refusal = progress.refusals.find(({ box }) => box === homeId);
  if (refusal === undefined || wish.box !== undefined) return undefined;
  const stays = progress.refusals.length >= MOST_TRIED ? `${MOST_TRIED} boxes have refused it` : tie;
  const why = `it refused it: ${refusal.reason}`;
  return { reason: why, stays: stays !== undefined, ...(stays === undefined ? {} : { note: `it stays: ${stays}` }) };
}

/** What keeps it on its box. */
function tieOf(
  { wish, power }: Session,
  { box, hasBegun }: SessionProgress,
  status: WorkloadStatus | undefined,
): string | undefined {
  if (wish.box === box) return "the wish names that box";
  const volumes = (wish.volumes ?? []).filter(({ onStop }) => onStop !== "delete").map(({ name }) => name);
  if (volumes.length > 0 && hasBegun !== false) {
    return `the data of its ${volumes.length === 1 ? "volume" : "volumes"} ${volumes.join(", ")} is there`;
  }
  const isAsleep = power.state === "hibernated" || status?.session?.sleep !== undefined;
  return isAsleep ? "it is hibernated, and what it keeps is there" : undefined;
}

function endingReason(homeId: string | undefined, home: BoxFacts | undefined, leaving: readonly LeavingBox[]): string {
  const waits = [...(homeId === undefined || home === undefined ? [] : [homeId]), ...leaving.map(({ box }) => box)];
  return waits.length === 0 ? "nothing of it is left" : `${waits.join(", ")} has not let go of it yet`;
}

/** Until a box that tells nothing of a session is asked again whether it has taken over the set without it. */
const LOOK_AGAIN_MS = 1000;

function dueOf(
  { id, wish, ending }: Session,
  {
    home,
    leaving,
    seen: { boxes, nowMs },
  }: { readonly home: BoxFacts | undefined; readonly leaving: readonly LeavingBox[]; readonly seen: SessionSeen },
): number | undefined {
  const parting = [...(ending === undefined ? [] : [home]), ...leaving.map(({ box }) => boxes.get(box))];
  if (parting.some((facts) => facts !== undefined && isWordAwaited(id, facts))) return nowMs + LOOK_AGAIN_MS;
  const lostAtMs = home?.lostAtMs;
  const isAwaited = wish.onLost === "move" && ending === undefined && lostAtMs !== undefined && lostAtMs > nowMs;
  return isAwaited ? lostAtMs : undefined;
}

/** What a box without any session has applied calls for no lap: who waits for that word alone must look. */
function isWordAwaited(id: string, facts: BoxFacts): boolean {
  const isSilent = ownPart(id, facts.set).length === 0 && statusOf(id, facts) === undefined;
  return facts.lostAtMs === undefined && isSilent && !hasLetGo(id, facts);
}

function turnOf(
  { id }: Session,
  before: SessionProgress,
  next: SessionProgress,
  { standing, nowMs }: { readonly standing: Standing; readonly nowMs: number },
): Pick<SessionPlan, "progress" | "event"> {
  const { reason: _reason, ...rest } = next;
  const told = { ...rest, ...standing };
  if (standing.state === before.state) return { progress: told, event: undefined };
  const text = `Session ${id} is ${standing.state}${standing.reason === undefined ? "" : `: ${standing.reason}`}`;
  const { box } = next;
  return {
    progress: { ...told, sinceMs: nowMs },
    event: {
      kind: "session.state",
      ...(box === undefined ? {} : { boxId: box }),
      workloadId: id,
      text,
      data: { id, from: before.state, to: standing.state },
    },
  };
}
