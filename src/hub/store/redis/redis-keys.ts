import type { DocumentKey, Log } from "../engine.ts";

/** Names of keys. All carry one hash tag, so that a script may touch them together on a cluster too. */
export interface RedisKeys {
  document(key: DocumentKey<unknown>): string;
  /** The ids of a collection, in byte order. */
  index(collection: string): string;
  log(log: Log<unknown>): string;
  /** What expires, by when. */
  readonly expiry: string;
  readonly channel: string;
  /** A document in `expiry`. */
  member(key: DocumentKey<unknown>): string;
  keyOfMember(member: string): DocumentKey<unknown>;
}

export function createRedisKeys(prefix: string): RedisKeys {
  const tag = `{${prefix}}`;
  const member: RedisKeys["member"] = ({ collection, id }) => `${collection.name}:${id}`;
  return {
    document: (key) => `${tag}:d:${member(key)}`,
    index: (collection) => `${tag}:i:${collection}`,
    log: ({ name }) => `${tag}:l:${name}`,
    expiry: `${tag}:expiry`,
    channel: `${tag}:wake`,
    member,
    keyOfMember: (text) => {
      const colon = text.indexOf(":");
      return { collection: { name: text.slice(0, colon) }, id: text.slice(colon + 1) };
    },
  };
}
