import { AppError } from "../../base/errors.ts";
import type { SessionWish } from "../../contract/fleet/session.ts";
import type { SessionPower } from "../../contract/session-spec.ts";
import { findBox } from "../find-box.ts";
import type { HubContext } from "../hub-context.ts";
import { notFound } from "../store/store-error.ts";
import type { WriteContext } from "../store/write-context.ts";
import { recordOf, SESSION_KIND, type Session, type SessionRecord, toSession } from "./session-record.ts";
import type { UserBook } from "./user-book.ts";

/** Writes what people want of sessions. */
export interface SessionMaker {
  /** `not-found` */
  get(id: string): Promise<Session>;
  find(id: string): Promise<Session | undefined>;
  /** Makes it, or another form of it. `not-found` (a box), `conflict` (its revision, it is stopping, its user has too many). */
  put(wish: SessionWish, context: PutContext): Promise<Session>;
  setPower(session: Session, power: SessionPower, context: PutContext): Promise<Session>;
  /** It is taken away from its box. Of one that is stopping already nothing changes. */
  end(session: Session, how: Omit<EndWish, "sinceMs">, context: PutContext): Promise<Session>;
  /** One that a box runs and nobody remembers. `conflict`: there is one now. */
  recover(wish: SessionWish, power: SessionPower, context: WriteContext): Promise<Session>;
}

type EndWish = NonNullable<SessionRecord["ending"]>;

export interface PutContext extends WriteContext {
  readonly expectedRevision?: number | undefined;
}

export function createSessionMaker(
  { store }: Pick<HubContext, "store">,
  { users }: { readonly users: UserBook },
): SessionMaker {
  const find = async (id: string): Promise<Session | undefined> => {
    const object = await store.objects.get(SESSION_KIND, id);
    return object === undefined ? undefined : toSession(object);
  };

  const save = async (id: string, body: SessionRecord, context: PutContext): Promise<Session> => {
    const saved = toSession(await store.objects.put({ kind: SESSION_KIND, id, body }, context));
    if (saved === undefined) {
      throw new AppError("internal", `session ${id} was written in a form that is not understood`);
    }
    return saved;
  };

  /** What was counted for a form that did not come to be is counted no more. */
  const recount = async (id: string, user: string): Promise<void> => {
    if ((await find(id))?.wish.user !== user) await users.remove(user, id);
  };

  return {
    find,
    get: async (id) => {
      const session = await find(id);
      if (session === undefined) throw notFound("session", id);
      return session;
    },
    put: async (wish, context) => {
      const { id, user } = wish;
      const held = await find(id);
      if (held?.ending !== undefined && context.expectedRevision !== 0) throw isEnding(held);
      if (wish.box !== undefined) {
        await findBox(wish.box, { field: "box", isNew: held?.wish.box !== wish.box }, store);
      }
      await users.add(user, id);
      try {
        const body = { wish, power: held?.power ?? ({ state: "running", turn: 0 } as const) };
        const expectedRevision = context.expectedRevision ?? held?.revision ?? 0;
        const saved = await save(id, body, { ...context, expectedRevision });
        if (held !== undefined && held.wish.user !== user) await users.remove(held.wish.user, id);
        return saved;
      } catch (thrown) {
        // A store that is away cannot be mended now; what is left over is swept later.
        await recount(id, user).catch(() => undefined);
        throw thrown;
      }
    },
    setPower: async (session, power, context) => {
      if (session.power === power) return session;
      if (session.ending !== undefined) throw isEnding(session);
      const expectedRevision = context.expectedRevision ?? session.revision;
      return save(session.id, { ...recordOf(session), power }, { ...context, expectedRevision });
    },
    end: async (session, how, context) => {
      if (session.ending !== undefined) return session;
      const body = { ...recordOf(session), ending: { ...how, sinceMs: context.nowMs } };
      const expectedRevision = context.expectedRevision ?? session.revision;
      return save(session.id, body, { ...context, expectedRevision });
    },
    recover: async (wish, power, context) => {
      await users.note(wish.user, wish.id);
      return save(wish.id, { wish, power }, { ...context, expectedRevision: 0 });
    },
  };
}

function isEnding({ id, ending }: Session): AppError {
  return new AppError("conflict", `session ${id} is stopping: ${ending?.reason ?? "it was asked to"}`);
}
