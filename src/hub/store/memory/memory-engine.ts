import {
  type Append,
  type Bodies,
  type DocumentKey,
  type Engine,
  type ListRange,
  type LogEntry,
  type Outcome,
  parsePart,
} from "../engine.ts";
import { storeUnavailable } from "../store-error.ts";
import { createWakeBus } from "../wake-bus.ts";

interface Held {
  /** JSON, so that what is read is never what somebody else still holds, and looks as it does from a real store. */
  readonly json: string;
  readonly expiresMs: number | undefined;
}

interface HeldEntry {
  readonly sequence: number;
  readonly atMs: number;
  readonly json: string;
}

interface HeldLog {
  readonly entries: HeldEntry[];
  last: number;
}

/** The simplest engine there can be: the others are held against it. */
export function createMemoryEngine(): Engine {
  const collections = new Map<string, Map<string, Held>>();
  const logs = new Map<string, HeldLog>();
  const bus = createWakeBus();
  let closed = false;

  const requireOpen = () => {
    if (closed) throw storeUnavailable("the store is closed");
  };
  const documentsOf = (name: string): Map<string, Held> => {
    const held = collections.get(name) ?? new Map<string, Held>();
    collections.set(name, held);
    return held;
  };
  const load = <const Keys extends readonly DocumentKey<unknown>[]>(keys: Keys): Bodies<Keys> => {
    const bodies = keys.map(({ collection, id }) => {
      const held = documentsOf(collection.name).get(id);
      if (held === undefined) return undefined;
      return parsePart(collection, held.json);
    });
    return bodies as unknown as Bodies<Keys>;
  };
  const slice = (name: string, { prefix = "", after, limit }: ListRange) =>
    [...documentsOf(name)]
      .filter(([id]) => id.startsWith(prefix) && (after === undefined || id > after))
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .slice(0, limit);
  const append = ({ log, body, atMs, sequence, keep }: Append) => {
    const held = logs.get(log.name) ?? { entries: [], last: 0 };
    logs.set(log.name, held);
    held.last = sequence ?? held.last + 1;
    held.entries.push({ sequence: held.last, atMs, json: JSON.stringify(body) });
    held.entries.splice(0, Math.max(0, held.entries.length - keep));
  };
  const commit = (outcome: Outcome<unknown>) => {
    for (const { collection, id } of outcome.deletes ?? []) documentsOf(collection.name).delete(id);
    for (const { key, body, expiresMs } of outcome.puts ?? []) {
      documentsOf(key.collection.name).set(key.id, { json: JSON.stringify(body), expiresMs });
    }
    for (const { name } of outcome.drops ?? []) logs.delete(name);
    for (const entry of outcome.appends ?? []) append(entry);
    bus.wake(outcome.wakes ?? []);
  };
  const parse = <Body>({ sequence, atMs, json }: HeldEntry): LogEntry<Body> => ({
    sequence,
    atMs,
    body: JSON.parse(json),
  });

  return {
    transact: async (keys, decide) => {
      requireOpen();
      const outcome = decide(load(keys));
      commit(outcome);
      return outcome.answer;
    },
    read: async (keys) => {
      requireOpen();
      return load(keys);
    },
    list: async ({ name }, range) => {
      requireOpen();
      const documents = slice(name, range).map(([id, { json }]) => ({ id, body: JSON.parse(json) }));
      return { documents, next: documents.length < range.limit ? undefined : documents.at(-1)?.id };
    },
    listIds: async ({ name }, range) => {
      requireOpen();
      const ids = slice(name, range).map(([id]) => id);
      return { ids, next: ids.length < range.limit ? undefined : ids.at(-1) };
    },
    readLog: async (log, after, limit) => {
      requireOpen();
      const { entries, last } = logs.get(log.name) ?? { entries: [], last: 0 };
      const from = entries.findIndex(({ sequence }) => sequence > after);
      const wanted = from < 0 ? [] : entries.slice(from, from + limit);
      return { entries: wanted.map((entry) => parse(entry)), first: entries[0]?.sequence ?? last + 1, last };
    },
    readLogBack: async (log, before, limit) => {
      requireOpen();
      const entries = logs.get(log.name)?.entries ?? [];
      const end = entries.findLastIndex(({ sequence }) => sequence < before) + 1;
      return entries
        .slice(Math.max(0, end - limit), end)
        .reverse()
        .map((entry) => parse(entry));
    },
    expire: async (nowMs, limit) => {
      requireOpen();
      let removed = 0;
      for (const documents of collections.values()) {
        for (const [id, { expiresMs }] of documents) {
          if (expiresMs === undefined || expiresMs > nowMs || removed >= limit) continue;
          documents.delete(id);
          removed += 1;
        }
      }
      return removed;
    },
    onWake: bus.onWake,
    ping: async () => requireOpen(),
    close: async () => {
      closed = true;
    },
  };
}
