import { AppError } from "../../base/errors.ts";
import { createTurns } from "../../base/turns.ts";
import type { HubContext } from "../hub-context.ts";
import type { NewAuditEntry } from "../store/audit-log.ts";
import type { NewEvent } from "../store/event-log.ts";
import type { StoredObject } from "../store/objects.ts";
import { everyItem, type Page } from "../store/page.ts";
import { notFound } from "../store/store-error.ts";
import type { WriteContext } from "../store/write-context.ts";
import {
  describeRemote,
  isDetached,
  REMOTE_KIND,
  REMOTE_PAST_KIND,
  type Remote,
  type RemoteRecord,
  recordOf,
  shortened,
  subjectOf,
  toRemote,
} from "./remote-record.ts";

/**
 * All remote sessions of the fleet. Those that are not over are also held here, as they were last read or written: limits and
 * the keeper look at them. A change is decided on what the store has, one at a time for each session.
 */
export interface RemoteBook {
  /** Those that are not over, as far as this hub knows. */
  open(): readonly Remote[];
  /** Of the store. `not-found`. */
  get(id: string): Promise<Remote>;
  /**
   * Throws `exhausted` at once where there are too many. A repeated request gets the session that the first has made: another id,
   * and the nonce of the first.
   */
  create(
    id: string,
    record: RemoteRecord,
    asked: { readonly context: WriteContext; readonly limits: RemoteCounts },
  ): Promise<Remote>;
  /** `decide` gives the record that should be; `undefined`: nothing changes. Answers what is there, or nothing: it is over. */
  change(id: string, decide: (remote: Remote) => Changed | undefined): Promise<Remote | undefined>;
  /** Answers it as it ended, or nothing: it was over. */
  end(id: string, decide: (remote: Remote) => Ending | undefined): Promise<Remote | undefined>;
  /** Newest first: those that are not over, then those that are. */
  list(after: string | undefined, limit: number): Promise<Page<Remote>>;
  /** Reads what other hubs have changed. */
  refresh(): Promise<void>;
  /** Forgets those that have long been over. */
  trim(): Promise<void>;
  /** Each session that ends, through whichever hub. */
  onEnded(listener: (ended: EndedRemote) => void): void;
}

export interface RemoteCounts {
  readonly perUser: number;
  readonly total: number;
}

export interface Changed {
  readonly record: RemoteRecord;
  readonly context?: Omit<WriteContext, "nowMs"> | undefined;
}

export interface Ending {
  readonly reason: string;
  readonly audit: Pick<NewAuditEntry, "actor" | "action" | "address">;
  /** Of the pair that was together last. */
  readonly bytes?: { readonly toBox: number; readonly fromBox: number } | undefined;
  /** The router has ended it and need not be told. */
  readonly isRouters?: boolean;
  /** The box has ended it and need not be told. */
  readonly isBoxs?: boolean;
  /** What is told before its end. */
  readonly event?: NewEvent | undefined;
}

export interface EndedRemote {
  readonly remote: Remote;
  /** As it was when it ended; absent where another hub has ended it. */
  readonly before?: Remote | undefined;
  readonly isRouters: boolean;
  readonly isBoxs: boolean;
}

/** Those that are over are shown for so long, and never more of them. */
export const PAST_KEPT_MS = 24 * 3_600_000;
export const PAST_KEPT = 5000;
const ATTEMPTS = 8;
const PAGE = 500;
/** In a cursor: how far those that are over were listed. */
const PAST_MARK = "over/";

/** `liveBytes`: what has passed between the pair that is together now, as far as this hub's own router knows it. */
export function createRemoteBook(
  { store, clock }: Pick<HubContext, "store" | "clock">,
  { liveBytes }: { readonly liveBytes: (remote: Remote) => Ending["bytes"] },
): RemoteBook {
  const known = new Map<string, Remote>();
  /** Being written: they count. */
  const pending = new Map<string, string>();
  const inTurn = createTurns();
  const listeners = new Set<(ended: EndedRemote) => void>();

  const read = async (kind: string, id: string): Promise<Remote | undefined> => {
    const object = await store.objects.get(kind, id);
    return object === undefined ? undefined : toRemote(object);
  };
  const past = (id: string) => read(REMOTE_PAST_KIND, id);

  const requireRoom = (tokenId: string, { perUser, total }: RemoteCounts) => {
    const waiting = [...pending.values()];
    // What goes on alone on its box takes no room of its operator's.
    const ofUser = [...known.values()].filter((one) => one.tokenId === tokenId && !isLeftAlone(one)).length;
    const mine = ofUser + waiting.filter((owner) => owner === tokenId).length;
    if (mine >= perUser) {
      throw new AppError(
        "exhausted",
        `${mine} remote sessions of this token are open; allowed: ${perUser} (remote.perUser)`,
      );
    }
    const all = known.size + waiting.length;
    if (all >= total) {
      throw new AppError("exhausted", `${all} remote sessions are open; allowed: ${total} (remote.total)`);
    }
  };

  const tell = (ended: EndedRemote) => {
    for (const listener of listeners) listener(ended);
  };

  const retried = async <Answer>(act: () => Promise<Answer>): Promise<Answer> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await act();
      } catch (thrown) {
        const isRace = thrown instanceof AppError && thrown.code === "conflict" && thrown.currentRevision !== undefined;
        if (!isRace || attempt === ATTEMPTS) throw thrown;
      }
    }
  };

  const write = async (id: string, record: RemoteRecord, context: WriteContext): Promise<Remote> => {
    const object = await store.objects.put(
      { kind: REMOTE_KIND, id, body: record },
      { ...context, expectedRevision: 0 },
    );
    const made = toRemote(object);
    if (made === undefined) throw new AppError("internal", `remote session ${id} was written in a form of its own`);
    if (made.nonce !== record.nonce) return (await past(made.id)) ?? (await read(REMOTE_KIND, made.id)) ?? made;
    known.set(id, made);
    return made;
  };

  return {
    open: () => [...known.values()],
    get: async (id) => {
      const found = (await past(id)) ?? (await read(REMOTE_KIND, id));
      if (found === undefined) throw notFound("remote session", id);
      return found;
    },
    create: (id, record, { context, limits }) => {
      requireRoom(record.tokenId, limits);
      pending.set(id, record.tokenId);
      return write(id, record, context).finally(() => pending.delete(id));
    },
    change: (id, decide) =>
      inTurn(id, () =>
        retried(async () => {
          const held = await read(REMOTE_KIND, id);
          if (held === undefined || (await past(id)) !== undefined) return undefined;
          const changed = decide(held);
          if (changed === undefined) return held;
          const written = await store.objects.put(
            { kind: REMOTE_KIND, id, body: changed.record },
            { ...changed.context, nowMs: clock.wallMs(), expectedRevision: held.revision },
          );
          const next = toRemote(written) ?? held;
          // A repeated request is told of an earlier form.
          if (next.revision > held.revision) known.set(id, next);
          return next;
        }),
      ),
    end: (id, decide) =>
      inTurn(id, async () => {
        const held = await read(REMOTE_KIND, id);
        const ending = held === undefined ? undefined : decide(held);
        if (held === undefined || ending === undefined) {
          if (held === undefined) known.delete(id);
          return undefined;
        }
        const nowMs = clock.wallMs();
        const bytes = ending.bytes ?? liveBytes(held);
        const body = endedRecord(held, { ...ending, bytes }, nowMs);
        let ended: Remote | undefined;
        try {
          const { audit, event } = whatEnds(held, body, ending);
          const context = { nowMs, audit, event: ending.event === undefined ? event : [ending.event, event] };
          ended = toRemote(await store.objects.move(REMOTE_KIND, { kind: REMOTE_PAST_KIND, id, body }, context));
        } catch (thrown) {
          if (!(thrown instanceof AppError && thrown.code === "conflict")) throw thrown;
          // Another hub, of an earlier release, has ended it already and was killed before it took it away.
          await store.objects.delete(REMOTE_KIND, id, { nowMs, durability: "relaxed" });
        }
        known.delete(id);
        if (ended !== undefined) {
          const { isRouters = false, isBoxs = false } = ending;
          tell({ remote: ended, before: held, isRouters, isBoxs });
        }
        return ended;
      }),
    list: async (after, limit) => {
      const cursor = after?.startsWith(PAST_MARK) === true ? after.slice(PAST_MARK.length) : undefined;
      if (cursor === undefined) {
        const page = await store.objects.list(REMOTE_KIND, { after, limit });
        return { items: page.items.flatMap(parsed), next: page.next ?? PAST_MARK };
      }
      const page = await store.objects.list(REMOTE_PAST_KIND, { after: cursor === "" ? undefined : cursor, limit });
      return {
        items: page.items.flatMap(parsed),
        next: page.next === undefined ? undefined : `${PAST_MARK}${page.next}`,
      };
    },
    refresh: async () => {
      const before = new Set(known.keys());
      const found = new Map<string, Remote>();
      for await (const object of everyItem((page) => store.objects.list(REMOTE_KIND, page), PAGE)) {
        for (const remote of parsed(object)) found.set(remote.id, remote);
      }
      for (const [id, remote] of found) {
        const held = known.get(id);
        // What was ended here meanwhile is not taken up again; what was changed here meanwhile is newer.
        if (held === undefined ? !before.has(id) : held.revision < remote.revision) known.set(id, remote);
      }
      for (const id of before) {
        if (found.has(id) || !known.has(id)) continue;
        const ended = await past(id);
        known.delete(id);
        if (ended !== undefined) tell({ remote: ended, isRouters: false, isBoxs: false });
      }
    },
    trim: async () => {
      const nowMs = clock.wallMs();
      let kept = 0;
      for await (const object of everyItem((page) => store.objects.list(REMOTE_PAST_KIND, page), PAGE)) {
        const endedMs = toRemote(object)?.endedMs ?? object.updatedMs;
        if (nowMs - endedMs < PAST_KEPT_MS && kept < PAST_KEPT) kept++;
        else await store.objects.delete(REMOTE_PAST_KIND, object.id, { nowMs });
      }
    },
    onEnded: (listener) => void listeners.add(listener),
  };
}

function parsed(object: StoredObject): readonly Remote[] {
  const remote = toRemote(object);
  return remote === undefined ? [] : [remote];
}

export function isLeftAlone(remote: Remote): boolean {
  return remote.state === "broken" && isDetached(remote);
}

function endedRecord(held: Remote, { reason, bytes }: Ending, nowMs: number): RemoteRecord {
  return {
    ...recordOf(held),
    operation: shortened(held.operation),
    state: "ended",
    reason,
    sinceMs: nowMs,
    endedMs: nowMs,
    bytesToBox: held.bytesToBox + (bytes?.toBox ?? held.pairToBox),
    bytesFromBox: held.bytesFromBox + (bytes?.fromBox ?? held.pairFromBox),
    pairToBox: 0,
    pairFromBox: 0,
  };
}

function whatEnds(
  held: Remote,
  body: RemoteRecord,
  { reason, audit }: Ending,
): { audit: NewAuditEntry; event: NewEvent } {
  const seconds = Math.round(((body.endedMs ?? held.createdMs) - held.createdMs) / 1000);
  const figures = `${body.bytesToBox} bytes to the box, ${body.bytesFromBox} from it, ${seconds} s`;
  return {
    audit: {
      ...audit,
      subject: subjectOf(held),
      outcome: "done",
      detail: `${reason} (${describeRemote(held)}; ${figures})`,
    },
    event: {
      kind: "remote.ended",
      boxId: held.box,
      text: `Remote session ${held.id} of ${held.operator} on ${held.box} has ended: ${reason}`,
      data: {
        id: held.id,
        operator: held.operator,
        seconds,
        bytesToBox: body.bytesToBox,
        bytesFromBox: body.bytesFromBox,
      },
    },
  };
}
