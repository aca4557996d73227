import { AppError } from "../../base/errors.ts";
import { type Service, untilAborted } from "../../base/service.ts";
import { createHeldLease } from "../held-lease.ts";
import type { HubContext } from "../hub-context.ts";
import { createLapBell, runLeasedLaps } from "../leased-laps.ts";
import type { Presence } from "../life/presence.ts";
import type { Hint } from "../store/store.ts";
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

const RENEW_MS = 2000;
/** Short: two hubs that both believe to hold it come to the same, so only work done twice is at stake. */
const LEASE = { name: "sessions", ttlMs: 6000, renewMs: RENEW_MS };
/** Also what was missed by every hint is found by then. */
const FULL_LAP_MS = 30_000;
const RETRY_MS = 500;
const SESSIONS_AT_ONCE = 16;
/** Several steps may be due one after the other; none waits for a hint. */
const STEPS_A_TURN = 8;
/** Looking for boxes asks all of them: those without one are tried again when something has changed, and this part of the time. */
const PLACE_AGAIN_MS = 500;
const PLACE_SHARE = 10;

/**
 * Brings every session to what people want of it. One hub at a time does it, by lease. Level-triggered: each turn reads what is
 * there, plans, and writes the difference; a hub that dies between two writes leaves nothing that the next turn does not find. Woken
 * at once by what boxes report of sessions, through whichever hub.
 */
export function createSessionService(deps: SessionServiceDeps): Service {
  const { context, presence, seats, users, offers, maker } = deps;
  const { store, clock, log } = context;
  const steps = createSessionSteps(deps);
  return {
    name: "sessions",
    run: async (signal) => {
      /** As last listed. */
      let sessions = new Map<string, Session>();
      const dirty = new Set<string>();
      const dueAtMs = new Map<string, number>();
      /** By box: those that may have something there. */
      const near = new Map<string, Set<string>>();
      const boxesOfSession = new Map<string, readonly string[]>();
      const waiting = new Set<string>();
      let mayPlaceAtMs = Number.NEGATIVE_INFINITY;
      let isRoomNew = true;
      let watchingSinceMs = clock.wallMs();
      let mustList = true;
      const bell = createLapBell();
      const lease = createHeldLease(LEASE, context);
      let fullAtMs = Number.NEGATIVE_INFINITY;

      const markBox = (boxId: string) => {
        for (const id of near.get(boxId) ?? []) dirty.add(id);
        isRoomNew = true;
        if (sessions.size > 0) bell.ring();
      };
      const markAll = () => {
        offers.noteAll();
        fullAtMs = Number.NEGATIVE_INFINITY;
        bell.ring();
      };
      const stopListening = store.onHint((hint: Hint) => {
        if (hint.kind === "box" || hint.kind === "session-facts") {
          offers.note(hint.boxId);
          markBox(hint.boxId);
        }
        if (hint.kind === "expected" && near.has(hint.boxId)) markBox(hint.boxId);
        if (hint.kind === "all") markAll();
        if (hint.kind === "objects" && hint.of === SESSION_KIND) {
          mustList = true;
          bell.ring();
        }
      });
      presence.onChange(({ boxId }) => markBox(boxId));

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

      const forget = (id: string) => {
        sessions.delete(id);
        dueAtMs.delete(id);
        waiting.delete(id);
        noteBoxes(id, []);
        isRoomNew = true;
      };

      const list = async (): Promise<void> => {
        mustList = false;
        try {
          const before = sessions;
          sessions = new Map((await listSessions(store, before)).map((session) => [session.id, session]));
          for (const id of before.keys()) if (!sessions.has(id)) forget(id);
          for (const { id, revision } of sessions.values()) if (before.get(id)?.revision !== revision) dirty.add(id);
        } catch (thrown) {
          mustList = true;
          throw thrown;
        }
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
        await users.sweep(async (user, id) => isOwn(sessions.get(id), user) || isOwn(await maker.find(id), user));
      };

      const lap = async (): Promise<void> => {
        bell.silence();
        const isDue = clock.monotonicMs() >= fullAtMs;
        if (mustList || isDue) await list();
        // A fleet without sessions costs no lease.
        if (sessions.size === 0 && !lease.isHeld()) return;
        const { isHeld, isNew } = await lease.hold();
        if (!isHeld) return;
        if (isNew) watchingSinceMs = clock.wallMs();
        const isFull = isDue || isNew;
        if (isFull) for (const id of sessions.keys()) dirty.add(id);
        const nowMs = clock.wallMs();
        for (const [id, due] of dueAtMs) if (due <= nowMs) dirty.add(id);
        const isPlacing = isRoomNew && clock.monotonicMs() >= mayPlaceAtMs;
        if (isPlacing) {
          isRoomNew = false;
          for (const id of waiting) dirty.add(id);
        }
        const wanted = [...dirty];
        dirty.clear();
        steps.forgetBoxes();
        const beganMs = clock.monotonicMs();
        try {
          for (let from = 0; from < wanted.length; from += SESSIONS_AT_ONCE) {
            const some = wanted.slice(from, from + SESSIONS_AT_ONCE);
            await Promise.all(some.map((id) => settle(id, isPlacing)));
          }
        } catch (thrown) {
          for (const id of wanted) dirty.add(id);
          isRoomNew = true;
          throw thrown;
        }
        if (isFull) {
          await sweep();
          fullAtMs = clock.monotonicMs() + FULL_LAP_MS;
        }
        if (isPlacing) {
          const tookMs = clock.monotonicMs() - beganMs;
          mayPlaceAtMs = clock.monotonicMs() + Math.max(PLACE_AGAIN_MS, tookMs * PLACE_SHARE);
        }
      };

      const settle = async (id: string, isPlacing: boolean): Promise<void> => {
        for (let step = 0; step < STEPS_A_TURN; step++) {
          const session = await maker.find(id);
          dueAtMs.delete(id);
          if (session === undefined) {
            forget(id);
            return;
          }
          try {
            // A new one is placed at once.
            const mayPlace = isPlacing || (!boxesOfSession.has(id) && !waiting.has(id));
            const { mayGoOn, dueMs, boxes, isWaiting } = await steps.take(session, { mayPlace, watchingSinceMs });
            noteBoxes(id, boxes);
            // What was written may have made room, and who waits now has not been tried yet.
            if (mayGoOn || (isWaiting && !waiting.has(id))) isRoomNew = true;
            if (isWaiting) waiting.add(id);
            else waiting.delete(id);
            if (dueMs !== undefined) dueAtMs.set(id, dueMs);
            if (!mayGoOn) return;
          } catch (thrown) {
            const isRace = thrown instanceof AppError && (thrown.code === "conflict" || thrown.code === "not-found");
            if (!isRace) throw thrown;
            // Someone was quicker; what they wrote is read in the next step.
            log.debug(`Session ${id} changed meanwhile: ${thrown.message}`);
            steps.forgetBoxes();
          }
        }
        dirty.add(id);
      };

      try {
        // It is never ready while the store is away, and a hub must be able to end.
        await Promise.race([presence.ready, untilAborted(signal)]);
        await runLeasedLaps(
          {
            title: "Sessions",
            periodMs: RENEW_MS,
            retryMs: RETRY_MS,
            lap,
            // Who was heard meanwhile is not known: nobody is lost for that.
            onFailed: () => {
              watchingSinceMs = clock.wallMs();
            },
            untilDueMs: () => {
              const untilPlacingMs = mayPlaceAtMs - clock.monotonicMs();
              const dueMs = Math.min(Number.POSITIVE_INFINITY, ...dueAtMs.values()) - clock.wallMs();
              return isRoomNew && waiting.size > 0 ? Math.min(dueMs, untilPlacingMs) : dueMs;
            },
            isOthers: () => !lease.isHeld() && sessions.size > 0,
            untilCalled: bell.untilRung,
          },
          context,
          signal,
        );
      } finally {
        stopListening();
        await lease.release();
      }
    },
  };
}
