import { type DocumentKey, type Outcome, topicOf } from "../engine.ts";
import type { RedisKeys } from "./redis-keys.ts";

export interface CommitPlan {
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

export interface ReadDocument {
  readonly key: DocumentKey<unknown>;
  /** Empty: it was not there. */
  readonly token: string;
}

/** Pure. What the commit script is called with. */
export function planCommit(
  outcome: Outcome<unknown>,
  read: readonly ReadDocument[],
  names: { readonly keys: RedisKeys; readonly token: string },
): CommitPlan {
  const { keys: redisKeys, token } = names;
  const keys: string[] = [];
  const positions = new Map<string, number>();
  const args: string[] = [""];
  const positionOf = (key: string): number => {
    const known = positions.get(key) ?? keys.push(key);
    positions.set(key, known);
    return known;
  };
  const place = (key: DocumentKey<unknown>) => ({
    key: positionOf(redisKeys.document(key)),
    index: positionOf(redisKeys.index(key.collection.name)),
    id: key.id,
    member: redisKeys.member(key),
  });
  const body = (value: unknown): number => args.push(JSON.stringify(value));
  const plan = {
    token,
    channel: redisKeys.channel,
    expiry: positionOf(redisKeys.expiry),
    checks: read.map((document) => [positionOf(redisKeys.document(document.key)), document.token]),
    drops: (outcome.drops ?? []).map((log) => positionOf(redisKeys.log(log))),
    appends: (outcome.appends ?? []).map((entry) => ({
      key: positionOf(redisKeys.log(entry.log)),
      sequence: entry.sequence === undefined ? "" : String(entry.sequence),
      keep: String(entry.keep),
      at: String(entry.atMs),
      body: body(entry.body),
    })),
    deletes: (outcome.deletes ?? []).map(place),
    puts: (outcome.puts ?? []).map((put) => ({
      ...place(put.key),
      body: body(put.body),
      expires: put.expiresMs === undefined ? "" : String(put.expiresMs),
    })),
    wakes: [...new Set((outcome.wakes ?? []).map(topicOf))],
  };
  args[0] = JSON.stringify(plan);
  return { keys, args };
}

/** Does the plan do more than check? */
export function hasEffect(outcome: Outcome<unknown>): boolean {
  return [outcome.puts, outcome.deletes, outcome.drops, outcome.appends, outcome.wakes].some(
    (writes) => (writes?.length ?? 0) > 0,
  );
}
