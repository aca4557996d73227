import { collection, type Durability, type Engine, headsIn, keyOf, putOf } from "./engine.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";
import { requireRevision } from "./store-error.ts";
import { change, isKnownRequest, type WriteContext } from "./write-context.ts";

/** A document of a kind that the store knows nothing more of: a rollout, an alert rule, a tunnel, a transfer. */
export interface StoredObject {
  readonly kind: string;
  readonly id: string;
  /** Grows by one with each change; goes on after a deletion only within `REVISION_KEPT_MS`. */
  readonly revision: number;
  readonly createdMs: number;
  readonly updatedMs: number;
  /** JSON. Whoever reads it parses it. */
  readonly body: unknown;
}

export interface ObjectWrite extends WriteContext {
  /** The revision that it must be at; 0: it must not be there. Left out: whatever is there. */
  readonly expectedRevision?: number | undefined;
  /** Left out: `durable`. What is written durably after it, by the same hub, makes it durable too. */
  readonly durability?: Durability | undefined;
}

/** Atomic and durable. Each change wakes `{kind: "objects", of: kind}` on every hub. */
export interface ObjectStore {
  get(kind: string, id: string): Promise<StoredObject | undefined>;
  /** `conflict` with the current revision (0 when there is none). */
  put(
    object: { readonly kind: string; readonly id: string; readonly body: unknown },
    context: ObjectWrite,
  ): Promise<StoredObject>;
  /** Answers whether there was one. `conflict` as for `put`. */
  delete(kind: string, id: string, context: ObjectWrite): Promise<boolean>;
  /** In one step: the object is gone, and another one has its id under its own kind. `conflict`: that one was there already. Wakes both. */
  move(
    from: string,
    to: { readonly kind: string; readonly id: string; readonly body: unknown },
    context: Omit<WriteContext, "request">,
  ): Promise<StoredObject>;
  /** Whether an object of this kind was written or deleted in the name of this request already. Of two that come together neither may be. */
  isRepeated(kind: string, request: { readonly id: string; readonly nowMs: number }): Promise<boolean>;
  list(kind: string, page: PageRequest): Promise<Page<StoredObject>>;
}

/** A deleted object's revision is remembered this long, so that a writer who still holds the old one cannot hit a new one. */
export const REVISION_KEPT_MS = 7 * 24 * 3_600_000;

const objects = collection<StoredObject>("object");
/** Of those that are replaced or deleted nothing else is asked: transfers have long ones, which change all the time. */
const heads = headsIn(objects);
const graves = collection<{ readonly revision: number }>("object-grave");
const TOPIC = "objects/";

export function kindOfTopic(topic: string): string | undefined {
  return topic.startsWith(TOPIC) ? topic.slice(TOPIC.length) : undefined;
}

export function createObjectStore(engine: Engine): ObjectStore {
  const keysOf = (kind: string, id: string) => [keyOf(heads, kind, id), keyOf(graves, kind, id)] as const;
  return {
    get: async (kind, id) => (await engine.read([keyOf(objects, kind, id)]))[0],
    put: ({ kind, id, body }, context) => {
      const keys = keysOf(kind, id);
      return change(engine, { scope: `object/${kind}`, keys, context }, ([held, grave]) => {
        requireRevision(`${kind} ${id}`, context.expectedRevision, held?.revision ?? 0);
        const next: StoredObject = {
          kind,
          id,
          revision: (held?.revision ?? grave?.revision ?? 0) + 1,
          createdMs: held?.createdMs ?? context.nowMs,
          updatedMs: context.nowMs,
          // The last: see `heads`.
          body,
        };
        return {
          answer: next,
          puts: [putOf(keyOf(objects, kind, id), next)],
          wakes: [`${TOPIC}${kind}`],
          ...durabilityOf(context),
        };
      });
    },
    delete: (kind, id, context) => {
      const keys = keysOf(kind, id);
      return change(engine, { scope: `object/${kind}`, keys, context }, ([held]) => {
        requireRevision(`${kind} ${id}`, context.expectedRevision, held?.revision ?? 0);
        if (held === undefined) return { answer: false };
        return {
          answer: true,
          puts: [putOf(keys[1], { revision: held.revision }, context.nowMs + REVISION_KEPT_MS)],
          deletes: [keys[0]],
          wakes: [`${TOPIC}${kind}`],
          ...durabilityOf(context),
        };
      });
    },
    move: (from, { kind, id, body }, context) => {
      const keys = [...keysOf(from, id), ...keysOf(kind, id)] as const;
      return change(engine, { scope: `object/${kind}`, keys, context }, ([left, , there, grave]) => {
        requireRevision(`${kind} ${id}`, 0, there?.revision ?? 0);
        const { nowMs } = context;
        const next: StoredObject = {
          kind,
          id,
          revision: (grave?.revision ?? 0) + 1,
          createdMs: nowMs,
          updatedMs: nowMs,
          // The last: see `heads`.
          body,
        };
        const gone = left === undefined ? [] : [putOf(keys[1], { revision: left.revision }, nowMs + REVISION_KEPT_MS)];
        return {
          answer: next,
          puts: [putOf(keyOf(objects, kind, id), next), ...gone],
          deletes: [keys[0]],
          wakes: [`${TOPIC}${from}`, `${TOPIC}${kind}`],
        };
      });
    },
    isRepeated: (kind, request) => isKnownRequest(engine, `object/${kind}`, request),
    list: async (kind, page) => {
      const after = page.after === undefined ? undefined : `${kind}/${page.after}`;
      const found = await readPage(engine, objects, { ...page, after, prefix: `${kind}/`, pick: (object) => object });
      return { items: found.items, next: found.next?.slice(kind.length + 1) };
    },
  };
}

function durabilityOf({ durability }: ObjectWrite): { readonly durability?: Durability } {
  return durability === undefined ? {} : { durability };
}
