import type { Service } from "../../base/service.ts";
import type { HubContext } from "../hub-context.ts";
import type { Presence } from "../life/presence.ts";
import { createSettledObjects } from "../settled-objects.ts";
import type { BoxOffers } from "./box-offers.ts";
import type { SeatBook } from "./seat-book.ts";
import type { SessionMaker } from "./session-maker.ts";
import { boxesOf, listSessions, SESSION_KIND, SESSION_STATE_KIND, type Session, toProgress } from "./session-record.ts";
import { createSessionSteps } from "./session-steps.ts";
import type { UserBook } from "./user-book.ts";

export interface SessionServiceDeps {
  readonly context: HubContext;
  readonly presence: Pick<Presence, "of" | "onChange" | "ready">;
  readonly seats: SeatBook;
  readonly users: UserBook;
  readonly offers: BoxOffers;
  readonly maker: Pick<SessionMaker, "find" | "setPower">;
}

const FULL_LAP_MS = 30_000;
/** Looking for boxes asks all of them: those without one are tried again when something has changed, and this part of the time. */
const PLACE_AGAIN_MS = 500;
const PLACE_SHARE = 10;

/** Brings every session to what people want of it. Woken at once by what boxes report of sessions, through whichever hub. */
export function createSessionService(deps: SessionServiceDeps): Service {
  const { context, presence, seats, users, offers, maker } = deps;
  const { store, clock } = context;
  const steps = createSessionSteps(deps);
  return {
    name: "sessions",
    run: async (signal) => {
      /** By box: those that may have something there. */
      const near = new Map<string, Set<string>>();
      const boxesOfSession = new Map<string, readonly string[]>();
      const waiting = new Set<string>();
      let isRoomNew = true;
      let mayPlaceAtMs = Number.NEGATIVE_INFINITY;
      /** In this lap, since then. */
      let placingSinceMs: number | undefined;
      let watchingSinceMs = clock.wallMs();

      const markBox = (boxId: string) => {
        for (const id of near.get(boxId) ?? []) sessions.mark(id);
        isRoomNew = true;
        if (sessions.all().size > 0) sessions.ring();
      };

      const noteBoxes = (id: string, boxes: readonly string[]) => {
        for (const boxId of boxesOfSession.get(id) ?? []) {
          const ids = near.get(boxId);
          ids?.delete(id);
          if (ids?.size === 0) near.delete(boxId);
        }
        boxesOfSession.delete(id);
        if (boxes.length === 0) return;
        boxesOfSession.set(id, boxes);
        for (const boxId of boxes) near.set(boxId, (near.get(boxId) ?? new Set()).add(id));
      };

      const sweep = async (): Promise<void> => {
        await seats.sweep(async (boxId, id) => {
          if (boxesOfSession.get(id)?.includes(boxId) === true) return true;
          const session = await maker.find(id);
          if (session === undefined) return false;
          const progress = toProgress(await store.objects.get(SESSION_STATE_KIND, id), session);
          return progress !== undefined && boxesOf(progress).includes(boxId);
        });
        const isOwn = (session: Session | undefined, user: string) => session?.wish.user === user;
        await users.sweep(async (user, id) => isOwn(sessions.all().get(id), user) || isOwn(await maker.find(id), user));
      };

      const sessions = createSettledObjects<Session>(
        {
          name: "sessions",
          title: "Sessions",
          noun: "Session",
          objectKind: SESSION_KIND,
          fullLapMs: FULL_LAP_MS,
          list: async (before) => new Map((await listSessions(store, before)).map((session) => [session.id, session])),
          find: maker.find,
          step: async (session) => {
            const { id } = session;
            // A new one is placed at once.
            const mayPlace = placingSinceMs !== undefined || (!boxesOfSession.has(id) && !waiting.has(id));
            const { boxes, isWaiting, ...step } = await steps.take(session, { mayPlace, watchingSinceMs });
            noteBoxes(id, boxes);
            // What was written may have made room, and who waits now has not been tried yet.
            if (step.mayGoOn || (isWaiting && !waiting.has(id))) isRoomNew = true;
            if (isWaiting) waiting.add(id);
            else waiting.delete(id);
            return step;
          },
          onLap: async ({ isNew }) => {
            if (isNew) watchingSinceMs = clock.wallMs();
            const isPlacing = isRoomNew && clock.monotonicMs() >= mayPlaceAtMs;
            placingSinceMs = isPlacing ? clock.monotonicMs() : undefined;
            if (isPlacing) {
              isRoomNew = false;
              for (const id of waiting) sessions.mark(id);
            }
            steps.forgetBoxes();
          },
          onLapDone: async ({ isFull }) => {
            if (isFull) await sweep();
            if (placingSinceMs === undefined) return;
            const tookMs = clock.monotonicMs() - placingSinceMs;
            mayPlaceAtMs = clock.monotonicMs() + Math.max(PLACE_AGAIN_MS, tookMs * PLACE_SHARE);
          },
          onFailed: () => {
            isRoomNew = true;
            // Who was heard meanwhile is not known: nobody is lost for that.
            watchingSinceMs = clock.wallMs();
          },
          onRace: steps.forgetBoxes,
          onGone: (id) => {
            waiting.delete(id);
            noteBoxes(id, []);
            isRoomNew = true;
          },
          untilDueMs: () =>
            isRoomNew && waiting.size > 0 ? mayPlaceAtMs - clock.monotonicMs() : Number.POSITIVE_INFINITY,
          onHint: (hint) => {
            if (hint.kind === "box" || hint.kind === "session-facts") {
              offers.note(hint.boxId);
              markBox(hint.boxId);
            }
            if (hint.kind === "expected" && near.has(hint.boxId)) markBox(hint.boxId);
            if (hint.kind === "all") offers.noteAll();
          },
        },
        context,
      );
      presence.onChange(({ boxId }) => markBox(boxId));
      await sessions.run(presence.ready, signal);
    },
  };
}
