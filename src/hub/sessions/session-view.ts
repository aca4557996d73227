import type { z } from "zod";
import {
  SESSION_STATES,
  type SessionState,
  type SessionWish,
  type sessionViewSchema,
} from "../../contract/fleet/session.ts";
import { maskStatus } from "../../contract/mask-status.ts";
import { maskWorkload, unmaskWorkload } from "../../contract/mask-workload.ts";
import { isoOf } from "../fleet/write-of.ts";
import type { BoxReport } from "../store/box-report.ts";
import type { StoredObject } from "../store/objects.ts";
import { everyItem } from "../store/page.ts";
import type { Store } from "../store/store.ts";
import { statusOf } from "./plan-session.ts";
import {
  firstProgress,
  listSessions,
  SESSION_STATE_KIND,
  type Session,
  type SessionProgress,
  toProgress,
} from "./session-record.ts";

export type SessionViewInput = z.input<typeof sessionViewSchema>;

export async function readSessionView(
  session: Session,
  { objects, reports }: Pick<Store, "objects" | "reports">,
): Promise<SessionViewInput> {
  const progress = toProgress(await objects.get(SESSION_STATE_KIND, session.id), session) ?? firstProgress(session);
  const report = progress.box === undefined ? undefined : await reports.get(progress.box);
  return viewOf(session, progress, report);
}

/** How many sessions are in each state now. */
export async function countSessions(store: Pick<Store, "objects">): Promise<Record<SessionState, number>> {
  const counts = Object.fromEntries(SESSION_STATES.map((state) => [state, 0])) as Record<SessionState, number>;
  const states = new Map<string, StoredObject>();
  for await (const object of everyItem((page) => store.objects.list(SESSION_STATE_KIND, page))) {
    states.set(object.id, object);
  }
  for (const session of await listSessions(store)) {
    counts[stateOf(session, toProgress(states.get(session.id), session) ?? firstProgress(session))]++;
  }
  return counts;
}

/** Pure. With its secrets masked. */
export function viewOf(session: Session, progress: SessionProgress, report: BoxReport | undefined): SessionViewInput {
  const { id, revision, wish, power, ending, createdMs, updatedMs } = session;
  const { box, placement, reason } = progress;
  const told = statusOf(id, { report });
  const status = told === undefined ? undefined : maskStatus(told);
  const state = stateOf(session, progress);
  return {
    id,
    revision,
    ...(wish.name === undefined ? {} : { name: wish.name }),
    user: wish.user,
    state,
    ...(state !== progress.state || reason === undefined ? {} : { reason }),
    since: isoOf(state === progress.state ? progress.sinceMs : (ending?.sinceMs ?? progress.sinceMs)),
    ...(box === undefined ? {} : { box }),
    ...(placement === undefined ? {} : { placement: { ...omitAt(placement), at: isoOf(placement.atMs) } }),
    power,
    ...(status?.session === undefined ? {} : { session: status.session }),
    ...(status === undefined ? {} : { workload: status }),
    wish: maskWish(wish),
    createdAt: isoOf(createdMs),
    updatedAt: isoOf(updatedMs),
  };
}

function stateOf({ ending }: Session, { state }: SessionProgress): SessionState {
  return ending === undefined ? state : "stopping";
}

function omitAt({ atMs: _atMs, ...placement }: NonNullable<SessionProgress["placement"]>) {
  return placement;
}

/** Pure. */
export function maskWish(wish: SessionWish): SessionWish {
  return maskWorkload({ spec: wish }).spec;
}

/** Pure. The wish as somebody means it who saw the held one masked; `unknown`: the first masked value that hides nothing held. */
export function unmaskWish(
  wish: SessionWish,
  held: SessionWish | undefined,
): { readonly wish: SessionWish; readonly unknown: string | undefined } {
  const { workload, unknown } = unmaskWorkload({ spec: wish }, held === undefined ? undefined : { spec: held });
  return { wish: workload.spec, unknown: unknown[0]?.replace(/^spec\./, "") };
}
