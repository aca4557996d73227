import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import {
  type Append,
  type Bodies,
  type Collection,
  type DocumentKey,
  type Durability,
  type Engine,
  type Log,
  type LogEntry,
  type Outcome,
  parsePart,
} from "../engine.ts";
import { storeUnavailable } from "../store-error.ts";
import { createWakeBus } from "../wake-bus.ts";
import { createGroupCommit } from "./group-commit.ts";
import { verbError } from "./sqlite-error.ts";
import { prepareStatements } from "./sqlite-statements.ts";

/**
 * A verb reads, decides and writes without a pause, so no other comes between. Those that wait together share a transaction
 * (`group-commit.ts`). A durable one has waited for `fsync` of the write-ahead log when it answers; a relaxed one has not,
 * and is carried to the disk by the next that has, or by a checkpoint.
 */
export function createSqliteEngine(db: DatabaseSync, path: string): Engine {
  const sql = prepareStatements(db);
  const bus = createWakeBus();
  let synchronous: Durability | undefined;

  const guarded = async <Answer>(run: () => Answer): Promise<Answer> => {
    if (!db.isOpen) throw storeUnavailable("the store is closed");
    try {
      return run();
    } catch (thrown) {
      if (db.isTransaction) sql.rollback.run();
      throw verbError(path, thrown);
    }
  };
  /** Takes effect outside a transaction only. */
  const setDurability = (wanted: Durability) => {
    if (synchronous === wanted) return;
    (wanted === "durable" ? sql.full : sql.normal).run();
    synchronous = wanted;
  };
  const loadOne = ({ collection, id }: DocumentKey<unknown>): unknown => {
    const { name, part } = collection;
    if (part === "presence") return sql.isThere.get(name, id) === undefined ? undefined : true;
    const row = sql.get.get(name, id);
    return row === undefined ? undefined : parsePart(collection, String(row["body"]));
  };
  /** One question for each collection, not one for each document. */
  const loadMany = (keys: readonly DocumentKey<unknown>[]): readonly unknown[] => {
    const found = new Map<Collection<unknown>, Map<string, unknown>>();
    for (const [collection, some] of Map.groupBy(keys, (key) => key.collection)) {
      const rows = sql.getMany.all(collection.name, JSON.stringify(some.map(({ id }) => id)));
      const bodies = rows.map((row): [string, unknown] => [
        String(row["id"]),
        parsePart(collection, String(row["body"])),
      ]);
      found.set(collection, new Map(bodies));
    }
    return keys.map(({ collection, id }) => found.get(collection)?.get(id));
  };
  const load = <const Keys extends readonly DocumentKey<unknown>[]>(keys: Keys): Bodies<Keys> => {
    const bodies = keys.length > MANY ? loadMany(keys) : keys.map(loadOne);
    return bodies as unknown as Bodies<Keys>;
  };
  const appendAll = (entries: readonly Append[]) => {
    /** The last entry that was appended to each log: its ends are set and trimmed once. */
    const ends = new Map<string, { readonly last: number; readonly keep: number; readonly hasGaps: boolean }>();
    for (const { log, body, atMs, sequence, keep } of entries) {
      const last = sequence ?? (ends.get(log.name)?.last ?? numberOf(sql.logLast.get(log.name), "last")) + 1;
      sql.append.run(log.name, last, atMs, JSON.stringify(body));
      ends.set(log.name, { last, keep, hasGaps: sequence !== undefined });
    }
    for (const [name, { last, keep, hasGaps }] of ends) {
      // Where its writer numbers a log, its last entry tells the last number: at least that one is always kept.
      if (!hasGaps) sql.setLogLast.run(name, last);
      // Sequences begin at 1: a log has no more entries than its last one says.
      if (last <= keep) continue;
      if (hasGaps) sql.keep.run(name, keep);
      else sql.trim.run(name, last - keep);
    }
  };
  const write = (outcome: Outcome<unknown>) => {
    for (const { collection, id } of outcome.deletes ?? []) sql.remove.run(collection.name, id);
    for (const { key, body, expiresMs } of outcome.puts ?? []) {
      sql.put.run(key.collection.name, key.id, JSON.stringify(body), expiresMs ?? null);
    }
    for (const { name } of outcome.drops ?? []) {
      sql.dropEntries.run(name);
      sql.dropLog.run(name);
    }
    appendAll(outcome.appends ?? []);
  };
  const begin = (durability: Durability) => {
    setDurability(durability);
    sql.begin.run();
  };
  const commits = createGroupCommit({
    begin,
    write,
    commit: () => void sql.commit.run(),
    rollback: () => {
      if (db.isTransaction) sql.rollback.run();
    },
    wake: bus.wake,
    errorOf: (thrown) => verbError(path, thrown),
  });

  return {
    transact: (keys, decide) =>
      db.isOpen ? commits.submit(() => decide(load(keys))) : Promise.reject(storeUnavailable("the store is closed")),
    read: (keys) => guarded(() => load(keys)),
    list: <Body>({ name }: { readonly name: string }, { prefix = "", after = "", limit }: ListBounds) =>
      guarded(() => {
        const rows = sql.list.all(name, after, prefix, limit);
        const documents = rows.map((row) => ({ id: String(row["id"]), body: parseBody(row) as Body }));
        return { documents, next: rows.length < limit ? undefined : documents.at(-1)?.id };
      }),
    listIds: ({ name }, { prefix = "", after = "", limit }) =>
      guarded(() => {
        const ids = sql.listIds.all(name, after, prefix, limit).map((row) => String(row["id"]));
        return { ids, next: ids.length < limit ? undefined : ids.at(-1) };
      }),
    readLog: <Body>({ name }: Log<Body>, after: number, limit: number) =>
      guarded(() => {
        const bounds = sql.bounds.get(name);
        const last = numberOf(bounds, "last");
        const first = numberOf(bounds, "first");
        const entries = sql.after.all(name, after, limit).map((row) => entryOf<Body>(row));
        return { entries, first: first === 0 ? last + 1 : first, last };
      }),
    readLogBack: <Body>({ name }: Log<Body>, before: number, limit: number) =>
      guarded(() => sql.before.all(name, before, limit).map((row) => entryOf<Body>(row))),
    expire: (nowMs, limit) =>
      guarded(() => {
        begin("relaxed");
        const removed = Number(sql.expire.run(nowMs, limit).changes);
        sql.commit.run();
        return removed;
      }),
    onWake: bus.onWake,
    ping: () => guarded(() => void sql.logLast.get("")),
    close: async () => {
      if (!db.isOpen) return;
      commits.flush();
      db.close();
    },
  };
}

/** From so many documents on they are asked for together. */
const MANY = 8;

interface ListBounds {
  readonly prefix?: string;
  readonly after?: string | undefined;
  readonly limit: number;
}

type Row = Record<string, SQLOutputValue>;

/** What lies in the file was written by this folder's verbs, and the file's version says so. */
function parseBody(row: Row | undefined): unknown {
  return row === undefined ? undefined : JSON.parse(String(row["body"]));
}

function entryOf<Body>(row: Row): LogEntry<Body> {
  return { sequence: Number(row["sequence"]), atMs: Number(row["at_ms"]), body: parseBody(row) as Body };
}

function numberOf(row: Row | undefined, column: string): number {
  return Number(row?.[column] ?? 0);
}
