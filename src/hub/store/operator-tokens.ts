import { AppError } from "../../base/errors.ts";
import { collection, type Engine, keyOf, type Outcome, type Put, putOf } from "./engine.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";
import { notFound } from "./store-error.ts";
import { change, type WriteContext } from "./write-context.ts";

export const OPERATOR_ROLES = ["admin", "operator", "viewer", "router"] as const;
export type OperatorRole = (typeof OPERATOR_ROLES)[number];

/** What opens the API to a person or a program. Times are wall time in milliseconds. */
export interface OperatorToken {
  readonly id: string;
  readonly name: string;
  readonly role: OperatorRole;
  /** Hash of the token, as hex. */
  readonly hash: string;
  readonly createdMs: number;
  readonly expiresMs?: number;
  readonly revokedMs?: number;
}

export interface UsedToken extends OperatorToken {
  /** To within the period in which hubs hand this in. */
  readonly lastUsedMs?: number;
}

/** All verbs are atomic and durable, except the time of last use. */
export interface OperatorTokenStore {
  /** `conflict`: the id or the hash is there already. */
  create(token: OperatorToken, context: WriteContext): Promise<OperatorToken>;
  /** Only if this store never held a token: of many hubs that start together one gets `true`. */
  createFirst(token: OperatorToken, context: WriteContext): Promise<boolean>;
  /** Also a revoked or expired one: the caller judges by its own time. */
  findByHash(hash: string): Promise<OperatorToken | undefined>;
  list(page: PageRequest): Promise<Page<UsedToken>>;
  /** The record stays, with the time. Wakes `{kind: "operators"}`. A second time changes nothing. `not-found`. */
  revoke(id: string, context: WriteContext): Promise<OperatorToken>;
  /** Relaxed. Hubs gather uses and hand them in every minute. A time before the one that is there is dropped. */
  noteUsed(used: readonly { readonly id: string; readonly atMs: number }[]): Promise<void>;
}

export const OPERATORS_TOPIC = "operators";

const tokens = collection<OperatorToken>("operator-token");
const tokenHashes = collection<{ readonly id: string }>("operator-token-hash");
const uses = collection<{ readonly atMs: number }>("operator-token-use");
const firsts = collection<{ readonly id: string }>("operator-token-first");
const firstKey = keyOf(firsts, "first");
const SCOPE = "operator-token";

export function createOperatorTokenStore(engine: Engine): OperatorTokenStore {
  const keysOf = (token: OperatorToken) => [keyOf(tokens, token.id), keyOf(tokenHashes, token.hash), firstKey] as const;
  const putAll = (token: OperatorToken): Put[] => [
    putOf(keyOf(tokens, token.id), token),
    putOf(keyOf(tokenHashes, token.hash), { id: token.id }),
    putOf(firstKey, { id: token.id }),
  ];
  return {
    create: (token, context) =>
      change(engine, { scope: SCOPE, keys: keysOf(token), context }, ([byId, byHash, first]) => {
        if (byId !== undefined || byHash !== undefined) {
          throw new AppError("conflict", `there is an operator token ${token.id} already`, { field: "id" });
        }
        return { answer: token, puts: first === undefined ? putAll(token) : putAll(token).slice(0, 2) };
      }),
    createFirst: (token, context) =>
      change(engine, { scope: SCOPE, keys: keysOf(token), context }, ([, , first]) =>
        first === undefined ? { answer: true, puts: putAll(token) } : { answer: false },
      ),
    findByHash: async (hash) => {
      const [owner] = await engine.read([keyOf(tokenHashes, hash)]);
      if (owner === undefined) return undefined;
      const [token] = await engine.read([keyOf(tokens, owner.id)]);
      return token?.hash === hash ? token : undefined;
    },
    list: async (page) => {
      const { items, next } = await readPage(engine, tokens, { ...page, pick: (token) => token });
      const used = await engine.read(items.map(({ id }) => keyOf(uses, id)));
      return {
        items: items.map((token, index): UsedToken => {
          const use = used[index];
          return use === undefined ? token : { ...token, lastUsedMs: use.atMs };
        }),
        next,
      };
    },
    revoke: (id, context) =>
      change(engine, { scope: SCOPE, keys: [keyOf(tokens, id)], context }, ([token]) => {
        if (token === undefined) throw notFound("operator token", id);
        if (token.revokedMs !== undefined) return { answer: token };
        const revoked: OperatorToken = { ...token, revokedMs: context.nowMs };
        return { answer: revoked, puts: [putOf(keyOf(tokens, id), revoked)], wakes: [OPERATORS_TOPIC] };
      }),
    noteUsed: async (used) => {
      const keys = used.map(({ id }) => keyOf(uses, id));
      await engine.transact(keys, (held): Outcome<void> => {
        const puts = used.flatMap(({ id, atMs }, index) =>
          (held[index]?.atMs ?? Number.NEGATIVE_INFINITY) >= atMs ? [] : [putOf(keyOf(uses, id), { atMs })],
        );
        return { answer: undefined, puts, durability: "relaxed" };
      });
    },
  };
}
