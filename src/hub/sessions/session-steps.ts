import { AppError } from "../../base/errors.ts";
import { isSameJson } from "../../base/same-json.ts";
import type { SessionPower } from "../../contract/session-spec.ts";
import type { HubContext } from "../hub-context.ts";
import type { Presence } from "../life/presence.ts";
import type { NewEvent } from "../store/event-log.ts";
import type { BoxOffers } from "./box-offers.ts";
import { type BoxFacts, planSession, type SessionPlan, statusOf } from "./plan-session.ts";
import type { SeatBook } from "./seat-book.ts";
import { seatOf } from "./seats.ts";
import type { SessionMaker } from "./session-maker.ts";
import { createSessionPlacer } from "./session-placer.ts";
import {
  boxesOf,
  firstProgress,
  ownerOf,
  SESSION_KIND,
  SESSION_STATE_KIND,
  type Session,
  type SessionProgress,
  toProgress,
} from "./session-record.ts";
import type { UserBook } from "./user-book.ts";

/** Reads what is there of one session, plans, and writes the difference. */
export interface SessionSteps {
  /**
   * One step. Rejects with `conflict` or `not-found` where someone was quicker, and with the store's error; whatever it had
   * written by then the next step finds.
   */
  take(session: Session, how: StepOptions): Promise<SessionStep>;
  /** What was read of boxes is not trusted any longer: once a lap, so that a hundred sessions of a box are one box. */
  forgetBoxes(): void;
}

export interface StepOptions {
  /** A box may be looked for now, which asks all of them. */
  readonly mayPlace: boolean;
  /** A box that has not been heard since then may have been heard by nobody who told this hub. */
  readonly watchingSinceMs: number;
}

export interface SessionStep {
  /** Something was written, so that another step may be due. */
  readonly mayGoOn: boolean;
  /** Wall time at which something is due without any word from outside. */
  readonly dueMs: number | undefined;
  /** Every box that may have something of it. */
  readonly boxes: readonly string[];
  /** For room: it has no box, should have another, or finds too little on its own. */
  readonly isWaiting: boolean;
}

export interface SessionStepsDeps {
  readonly context: Pick<HubContext, "store" | "clock">;
  readonly presence: Pick<Presence, "of">;
  readonly seats: SeatBook;
  readonly users: UserBook;
  readonly offers: BoxOffers;
  readonly maker: Pick<SessionMaker, "setPower">;
}

type ReadFacts = Pick<BoxFacts, "box" | "report" | "set">;

/** Not heard for so long, a box is lost. */
export const LOST_AFTER_MS = 120_000;

export function createSessionSteps({ context, presence, seats, users, offers, maker }: SessionStepsDeps): SessionSteps {
  const { store, clock } = context;
  const placer = createSessionPlacer({ store, clock, seats, offers });
  const boxesSeen = new Map<string, Promise<ReadFacts>>();

  const take = async (session: Session, { mayPlace, watchingSinceMs }: StepOptions): Promise<SessionStep> => {
    const { id } = session;
    const held = await store.objects.get(SESSION_STATE_KIND, id);
    const before = toProgress(held, session);
    const known = boxesOf(before ?? firstProgress(session));
    const boxes = new Map(
      await Promise.all(known.map(async (boxId) => [boxId, await factsOf(boxId, watchingSinceMs)] as const)),
    );
    const shortOf = await claimHome(session, before, boxes);
    const nowMs = clock.wallMs();
    const plan = planSession(session, before, { boxes, shortOf, nowMs });
    if (plan.laterPower !== undefined) {
      await takeOver(session, plan.laterPower);
      return { mayGoOn: true, dueMs: undefined, boxes: known, isWaiting: false };
    }
    const from = plan.progress.box;
    const isLost = from !== undefined && (boxes.get(from)?.lostAtMs ?? Number.POSITIVE_INFINITY) <= nowMs;
    const placed = plan.wantsBox !== undefined && mayPlace ? await placer.place(session, plan, isLost) : undefined;
    const { progress } = placed ?? plan;
    const event = placed?.event ?? plan.event;
    const now = boxesOf(progress);
    // Before it is forgotten that it was there: a seat that nobody knows of is only swept much later.
    for (const boxId of known) if (!now.includes(boxId)) await seats.release(boxId, id);
    const isWritten = before === undefined || !isSameJson(progress, before);
    if (isWritten) {
      const object = { kind: SESSION_STATE_KIND, id, body: progress };
      await store.objects.put(object, { nowMs, expectedRevision: held?.revision ?? 0, event });
    }
    const common = { dueMs: plan.dueMs, boxes: now, isWaiting: plan.wantsBox !== undefined || shortOf !== undefined };
    if (placed !== undefined && progress.box !== plan.progress.box) {
      return { ...common, mayGoOn: true, isWaiting: false };
    }
    const changes = await Promise.all(plan.writes.map((write) => carryOut(session, write)));
    if (plan.isOver) {
      await finish(session, now);
      return { ...common, mayGoOn: false, dueMs: undefined, isWaiting: false };
    }
    return { ...common, mayGoOn: isWritten || changes.includes(true) };
  };

  const factsOf = async (boxId: string, watchingSinceMs: number): Promise<BoxFacts> => {
    const reading = boxesSeen.get(boxId) ?? readBox(boxId);
    boxesSeen.set(boxId, reading);
    const { connection, lastContactMs } = presence.of(boxId);
    const isHeard = connection === "online" || connection === "degraded";
    const lostAtMs = isHeard ? undefined : Math.max(lastContactMs ?? 0, watchingSinceMs) + LOST_AFTER_MS;
    return { ...(await reading), connection, lastContactMs, lostAtMs };
  };

  const readBox = async (boxId: string): Promise<ReadFacts> => {
    const [box, report] = await Promise.all([store.boxes.get(boxId), store.reports.get(boxId)]);
    const set = box === undefined ? undefined : await store.expected.get(boxId).catch(unlessGone);
    return { box, report, set };
  };

  /** Its seat in the form that it has now. Answers why it cannot be had. */
  const claimHome = async (
    session: Session,
    progress: SessionProgress | undefined,
    boxes: ReadonlyMap<string, BoxFacts>,
  ): Promise<string | undefined> => {
    const { id, wish, power, ending } = session;
    const homeId = progress?.box;
    const home = homeId === undefined ? undefined : boxes.get(homeId);
    if (homeId === undefined || home?.box === undefined || ending !== undefined) return undefined;
    const status = statusOf(id, home);
    const sleep = status?.session?.sleep;
    const isAsleep = power.state === "hibernated" || (status?.session?.turn ?? 0) >= power.turn;
    const problem = await seats.claim(homeId, {
      id,
      seat: seatOf(wish, isAsleep ? sleep?.depth : undefined),
      facts: home.report?.report.sessions,
      isFact: status !== undefined,
    });
    return problem?.reason;
  };

  const carryOut = async ({ id }: Session, { boxId, entries }: SessionPlan["writes"][number]): Promise<boolean> => {
    const owner = ownerOf(id);
    const text = entries.length === 0 ? `${owner} was taken from ${boxId}` : `${owner} was put on ${boxId}`;
    const audit = {
      actor: "hub",
      action: entries.length === 0 ? "session.withdraw" : "session.place",
      subject: `session/${id}`,
      outcome: "done",
      detail: text,
    } as const;
    const event = { kind: "expected.changed", boxId, workloadId: id, text };
    boxesSeen.delete(boxId);
    const context = { nowMs: clock.wallMs(), audit, event };
    const { changed } = await store.expected.replace(boxId, { owner, entries }, context);
    boxesSeen.delete(boxId);
    return changed;
  };

  const takeOver = async (session: Session, power: SessionPower): Promise<void> => {
    const { id } = session;
    const text = `Session ${id} is to be ${power.state}, as its box was told later than this hub remembers`;
    await maker.setPower(session, power, {
      nowMs: clock.wallMs(),
      audit: { actor: "hub", action: "session.recovered", subject: `session/${id}`, outcome: "done", detail: text },
      event: { kind: "session.recovered", workloadId: id, text, data: { id } },
    });
  };

  /** In this order: what is left by a hub that dies in between is found by its session. */
  const finish = async (session: Session, boxes: readonly string[]): Promise<void> => {
    const { id, wish, revision, ending } = session;
    for (const boxId of boxes) await seats.release(boxId, id);
    await users.remove(wish.user, id);
    await store.objects.delete(SESSION_STATE_KIND, id, { nowMs: clock.wallMs() });
    const text = `Session ${id} is gone: ${ending?.reason ?? "it was asked to"}`;
    const event: NewEvent = { kind: "session.gone", workloadId: id, text, data: { id } };
    await store.objects.delete(SESSION_KIND, id, { nowMs: clock.wallMs(), expectedRevision: revision, event });
  };

  return {
    take,
    forgetBoxes: () => {
      boxesSeen.clear();
      placer.forgetBoxes();
    },
  };
}

function unlessGone(thrown: unknown): undefined {
  if (thrown instanceof AppError && thrown.code === "not-found") return undefined;
  throw thrown;
}
