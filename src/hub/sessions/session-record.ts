import { z } from "zod";
import { placementSchema, SESSION_STATES, sessionWishSchema } from "../../contract/fleet/session.ts";
import { sessionPowerSchema, volumeRuleSchema } from "../../contract/session-spec.ts";
import type { StoredObject } from "../store/objects.ts";
import { everyItem } from "../store/page.ts";
import type { Store } from "../store/store.ts";

/** What people ask of a session. Only they move its revision. */
export const SESSION_KIND = "session";
/** Where it is and how far: written by the hub that carries sessions out. */
export const SESSION_STATE_KIND = "session-state";

const recordSchema = z.object({
  wish: sessionWishSchema,
  power: sessionPowerSchema,
  /** `volumes`: what becomes of them, whatever the wish says. */
  ending: z.object({ sinceMs: z.number(), reason: z.string(), volumes: volumeRuleSchema.optional() }).optional(),
});
export type SessionRecord = z.output<typeof recordSchema>;

export interface Session extends SessionRecord {
  readonly id: string;
  readonly revision: number;
  readonly createdMs: number;
  readonly updatedMs: number;
}

const leavingSchema = z.object({
  box: z.string(),
  sinceMs: z.number(),
  /** The box was not heard when the session left it: nobody waits until it has let go. */
  isLost: z.boolean(),
});
export type LeavingBox = z.output<typeof leavingSchema>;

const refusalSchema = z.object({
  box: z.string(),
  reason: z.string(),
  /** Which process of its agent. */
  run: z.string(),
  /** What it refused: another form of the session may find another answer. */
  form: z.string(),
});
export type BoxRefusal = z.output<typeof refusalSchema>;

const stateSchema = z.object({
  /** `createdMs` of the session that it tells of: another one may have had the id before. */
  of: z.number(),
  state: z.enum(SESSION_STATES),
  reason: z.string().optional(),
  sinceMs: z.number(),
  /** It has its seat there. */
  box: z.string().optional(),
  placement: placementSchema.omit({ at: true }).extend({ atMs: z.number() }).optional(),
  /** Whether something of it may have run where it is, and have left data there. Absent: not known. */
  hasBegun: z.boolean().optional(),
  /** Where something of it may still be. */
  leaving: z.array(leavingSchema),
  refusals: z.array(refusalSchema).default([]),
});
export type SessionProgress = z.output<typeof stateSchema>;

export function ownerOf(sessionId: string): string {
  return `session/${sessionId}`;
}

/** `undefined` for what no version of this program wrote. */
export function toSession({ id, revision, createdMs, updatedMs, body }: StoredObject): Session | undefined {
  const parsed = recordSchema.safeParse(body);
  return parsed.success ? { ...parsed.data, id, revision, createdMs, updatedMs } : undefined;
}

export function recordOf({ wish, power, ending }: SessionRecord): SessionRecord {
  return { wish, power, ...(ending === undefined ? {} : { ending }) };
}

/** `undefined` also where the state is that of an earlier session. */
export function toProgress(
  object: StoredObject | undefined,
  session: Pick<Session, "createdMs">,
): SessionProgress | undefined {
  const parsed = stateSchema.safeParse(object?.body);
  return parsed.success && parsed.data.of === session.createdMs ? parsed.data : undefined;
}

export function firstProgress({ createdMs }: Pick<Session, "createdMs">): SessionProgress {
  return {
    of: createdMs,
    state: "pending",
    reason: "its box is being chosen",
    sinceMs: createdMs,
    leaving: [],
    refusals: [],
  };
}

/** Every box that may have something of it. */
export function boxesOf({ box, leaving }: Pick<SessionProgress, "box" | "leaving">): readonly string[] {
  return [...(box === undefined ? [] : [box]), ...leaving.map((one) => one.box)];
}

/** `known`: as listed before; what has not changed since is not parsed again. */
export async function listSessions(
  store: Pick<Store, "objects">,
  known?: ReadonlyMap<string, Session>,
): Promise<readonly Session[]> {
  const sessions: Session[] = [];
  for await (const object of everyItem((page) => store.objects.list(SESSION_KIND, page))) {
    const before = known?.get(object.id);
    const isSame = before?.revision === object.revision && before.createdMs === object.createdMs;
    const session = isSame ? before : toSession(object);
    if (session !== undefined) sessions.push(session);
  }
  return sessions;
}
