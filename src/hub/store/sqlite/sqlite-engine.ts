import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import type { Append, Bodies, DocumentKey, Durability, Engine, Log, LogEntry, Outcome } from "../engine.ts";
import { storeUnavailable } from "../store-error.ts";
import { createWakeBus } from "../wake-bus.ts";
import { verbError } from "./sqlite-error.ts";
import { prepareStatements } from "./sqlite-statements.ts";

/**
 * Each verb is one synchronous transaction, so no other comes between its reading and its writing. A durable one has
 * waited for `fsync` of the write-ahead log when it answers; a relaxed one has not, and is carried to the disk by the next
 * that has, or by a checkpoint.
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
  const load = <const Keys extends readonly DocumentKey<unknown>[]>(keys: Keys): Bodies<Keys> => {
    const bodies = keys.map(({ collection, id }) => parseBody(sql.get.get(collection.name, id)));
    return bodies as unknown as Bodies<Keys>;
  };
  const append = ({ log, body, atMs, sequence, keep }: Append) => {
    const next = sequence ?? numberOf(sql.logLast.get(log.name), "last") + 1;
    sql.append.run(log.name, next, atMs, JSON.stringify(body));
    sql.setLogLast.run(log.name, next);
    if (sequence === undefined) sql.trim.run(log.name, next - keep);
    else sql.keep.run(log.name, keep);
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
    for (const entry of outcome.appends ?? []) append(entry);
  };
  const inTransaction = (durability: Durability, run: () => void) => {
    setDurability(durability);
    sql.begin.run();
    run();
    sql.commit.run();
  };

  return {
    transact: (keys, decide) =>
      guarded(() => {
        // Nothing else runs between these lines: one thread, one connection, one process holds the file.
        const outcome = decide(load(keys));
        if (isWrite(outcome)) inTransaction(outcome.durability ?? "durable", () => write(outcome));
        bus.wake(outcome.wakes ?? []);
        return outcome.answer;
      }),
    read: (keys) => guarded(() => load(keys)),
    list: <Body>({ name }: { readonly name: string }, { prefix = "", after = "", limit }: ListBounds) =>
      guarded(() => {
        const rows = sql.list.all(name, after, prefix, limit);
        const documents = rows.map((row) => ({ id: String(row["id"]), body: parseBody(row) as Body }));
        return { documents, next: rows.length < limit ? undefined : documents.at(-1)?.id };
      }),
    readLog: <Body>({ name }: Log<Body>, after: number, limit: number) =>
      guarded(() => {
        const last = numberOf(sql.logLast.get(name), "last");
        const first = numberOf(sql.first.get(name), "first");
        const entries = sql.after.all(name, after, limit).map((row) => entryOf<Body>(row));
        return { entries, first: first === 0 ? last + 1 : first, last };
      }),
    readLogBack: <Body>({ name }: Log<Body>, before: number, limit: number) =>
      guarded(() => sql.before.all(name, before, limit).map((row) => entryOf<Body>(row))),
    expire: (nowMs, limit) =>
      guarded(() => {
        let removed = 0;
        inTransaction("relaxed", () => {
          removed = Number(sql.expire.run(nowMs, limit).changes);
        });
        return removed;
      }),
    onWake: bus.onWake,
    ping: () => guarded(() => void sql.logLast.get("")),
    close: async () => {
      if (db.isOpen) db.close();
    },
  };
}

interface ListBounds {
  readonly prefix?: string;
  readonly after?: string | undefined;
  readonly limit: number;
}

type Row = Record<string, SQLOutputValue>;

function isWrite(outcome: Outcome<unknown>): boolean {
  return [outcome.puts, outcome.deletes, outcome.drops, outcome.appends].some((writes) => (writes?.length ?? 0) > 0);
}

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
