import { AppError } from "../../../base/errors.ts";
import {
  type Bodies,
  type Collection,
  type DocumentKey,
  type Engine,
  type IdSlice,
  type ListRange,
  type Log,
  type LogEntry,
  type Outcome,
  parsePart,
} from "../engine.ts";
import { storeUnavailable } from "../store-error.ts";
import { createWakeBus } from "../wake-bus.ts";
import { hasEffect, planCommit } from "./commit-plan.ts";
import { createRedisConnection, type RedisDeps, subscribe } from "./redis-connection.ts";
import { createRedisKeys } from "./redis-keys.ts";
import type { RedisOptions } from "./redis-options.ts";
import { COMMIT, EXPIRE, READ_LOG } from "./redis-scripts.ts";

export interface RedisEngineDeps extends RedisDeps {
  readonly newId: () => string;
}

/** Each lost race means that another hub's verb was carried out: this many in a row is no race any more. */
const ATTEMPTS = 100;

/**
 * A verb reads its documents, decides here, and is written by one script that first proves that they are unchanged; if
 * not, it decides again. So verbs are serializable with those of all other hubs, and one is always carried out.
 */
export function createRedisEngine(options: RedisOptions, deps: RedisEngineDeps): Engine {
  const connection = createRedisConnection(options, deps);
  const keys = createRedisKeys(options.prefix);
  const bus = createWakeBus();
  const subscription = subscribe(options, keys.channel, {
    ...deps,
    onMessage: (topic) => bus.wake([topic]),
    onGap: () => bus.wake([undefined]),
  });
  const origin = deps.newId();
  let commits = 0;

  const load = async (wanted: readonly DocumentKey<unknown>[]): Promise<readonly StoredDocument[]> => {
    if (wanted.length === 0) return [];
    const values = asArray(await connection.call("MGET", ...wanted.map(keys.document)));
    return wanted.map((key, index) => ({ key, ...parseDocument(key, values[index]) }));
  };
  const listIds = async ({ name }: Collection<unknown>, { prefix = "", after, limit }: ListRange): Promise<IdSlice> => {
    const from = after === undefined || after < prefix ? `[${prefix}` : `(${after}`;
    const to = prefix === "" ? "+" : `[${prefix}\u{10ffff}`;
    const found = await connection.call("ZRANGE", keys.index(name), from, to, "BYLEX", "LIMIT", 0, limit);
    const ids = asArray(found).map(String);
    return { ids, next: ids.length < limit ? undefined : ids.at(-1) };
  };
  const acknowledge = async (outcome: Outcome<unknown>) => {
    if (options.replicas === 0 || outcome.durability === "relaxed") return;
    const count = Number(await connection.call("WAIT", options.replicas, Math.ceil(options.commandTimeoutMs / 2)));
    if (count >= options.replicas) return;
    throw storeUnavailable(`only ${count} of ${options.replicas} replicas have the change: it may be taken back`);
  };

  return {
    transact: async (wanted, decide) => {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const read = await load(wanted);
        const outcome = decide(bodiesOf(read));
        if (!hasEffect(outcome)) return outcome.answer;
        commits += 1;
        const plan = planCommit(outcome, read, { keys, token: `${origin}.${commits.toString(36)}` });
        if ((await connection.run(COMMIT, plan.keys, plan.args)) === 1) {
          await acknowledge(outcome);
          return outcome.answer;
        }
      }
      throw storeUnavailable(`another hub was first ${ATTEMPTS} times in a row`);
    },
    read: async (wanted) => bodiesOf(await load(wanted)),
    list: async (collection, range) => {
      const { ids, next } = await listIds(collection, range);
      const read = await load(ids.map((id) => ({ collection, id })));
      // One that was deleted in between is left out; whether more follows is told by the ids, not by what is left.
      const documents = read.flatMap(({ key, body }) =>
        body === undefined ? [] : [{ id: key.id, body: body as never }],
      );
      return { documents, next };
    },
    listIds,
    readLog: async (log, after, limit) => {
      const [first, last, entries] = asArray(await connection.run(READ_LOG, [keys.log(log)], [after, limit]));
      const lastSequence = Number(last);
      return {
        entries: asArray(entries).map((entry) => parseEntry(log, entry)),
        first: first === "" ? lastSequence + 1 : Number(first),
        last: lastSequence,
      };
    },
    readLogBack: async (log, before, limit) => {
      const found = await connection.call("XREVRANGE", keys.log(log), `(${before}-0`, "-", "COUNT", limit);
      return asArray(found).map((entry) => parseEntry(log, entry));
    },
    expire: async (nowMs, limit) => {
      const due = asArray(await connection.call("ZRANGE", keys.expiry, "-inf", nowMs, "BYSCORE", "LIMIT", 0, limit));
      if (due.length === 0) return 0;
      const documents = due.map((member) => keys.keyOfMember(String(member)));
      const scriptKeys = documents.flatMap((key) => [keys.document(key), keys.index(key.collection.name)]);
      const args = documents.flatMap((key) => [keys.member(key), key.id]);
      return Number(await connection.run(EXPIRE, [keys.expiry, ...scriptKeys], [nowMs, ...args]));
    },
    onWake: bus.onWake,
    ping: async () => {
      await connection.call("PING");
    },
    close: async () => {
      subscription.close();
      await connection.close();
    },
  };
}

interface StoredDocument {
  readonly key: DocumentKey<unknown>;
  readonly token: string;
  readonly body: unknown;
}

function parseDocument(
  { collection }: DocumentKey<unknown>,
  value: unknown,
): { readonly token: string; readonly body: unknown } {
  if (typeof value !== "string") return { token: "", body: undefined };
  const bar = value.indexOf("|");
  return { token: value.slice(0, bar), body: parsePart(collection, value.slice(bar + 1)) };
}

/** What lies under the prefix was written by this folder's verbs. */
function bodiesOf<const Keys extends readonly DocumentKey<unknown>[]>(read: readonly StoredDocument[]): Bodies<Keys> {
  return read.map(({ body }) => body) as unknown as Bodies<Keys>;
}

/** `[<sequence>-0, ["t", <ms>, "b", <JSON>]]` */
function parseEntry<Body>(log: Log<Body>, entry: unknown): LogEntry<Body> {
  const [id, fields] = asArray(entry);
  const [, atMs, , body] = asArray(fields);
  if (typeof body !== "string") throw new AppError("internal", `log ${log.name} holds an entry of another make`);
  return { sequence: Number.parseInt(String(id), 10), atMs: Number(atMs), body: JSON.parse(body) };
}

function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
