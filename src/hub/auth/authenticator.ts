import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { Identity } from "../http/access.ts";
import type { Box } from "../store/box.ts";
import type { OperatorToken } from "../store/operator-tokens.ts";
import type { Hint, Store } from "../store/store.ts";
import { hashSecret, isSameHash } from "./secret-hash.ts";

export interface Authenticator {
  /** Who sent this token. `undefined`: nobody did. `unauthorized`: it opens nothing (any more). */
  identify(token: string | undefined): Promise<Identity>;
  /** Aborts `control` when the caller loses the right that it has now: revoked, expired, forgotten, blocked. The disposer ends the watch. */
  watch(token: string | undefined, identity: Identity, control: AbortController): Disposable;
  /** Tokens used since the last call, with the time. */
  takeUses(): { readonly id: string; readonly atMs: number }[];
  /** Looks again at what is open: for expiry, and for hints that never came. */
  sweep(): Promise<void>;
  close(): void;
}

export interface AuthenticatorDeps {
  readonly store: Pick<Store, "boxes" | "operatorTokens" | "onHint">;
  readonly clock: Clock;
  /** No other process writes to the store, so no hint can be lost on its way. */
  readonly isAlone?: boolean;
}

/** What was looked up is believed this long even without any hint: with the sweep, a revocation cuts within 5 s. */
const CACHE_MS = 3000;
/** Of a box, where every change of it comes as a hint in the very step that writes it: its reports cost no look into the store. */
const OWN_BOX_CACHE_MS = 60_000;
const MAX_CACHED = 20_000;

interface Cached {
  readonly identity: Identity;
  readonly untilMs: number;
}

interface Watched {
  readonly identity: Identity;
  readonly control: AbortController;
}

export function createAuthenticator({ store, clock, isAlone = false }: AuthenticatorDeps): Authenticator {
  const cache = new Map<string, Cached>();
  const watched = new Map<string, readonly Watched[]>();
  const uses = new Map<string, number>();
  let boxChanges = 0;

  const findOperator = async (hash: string): Promise<Identity | undefined> => {
    const token = await store.operatorTokens.findByHash(hash);
    return token !== undefined && isSameHash(token.hash, hash) ? operatorOf(token, clock.wallMs()) : undefined;
  };

  const findBox = async (hash: string): Promise<Identity | undefined> => {
    const found = await store.boxes.findByKey(hash);
    if (found === undefined) return undefined;
    const { box, slot } = found;
    const key = slot === "next" ? box.nextKey : box.key;
    if (key === undefined || !isSameHash(key.hash, hash)) return undefined;
    if (box.state === "revoked") throw new AppError("unauthorized", `box ${box.id} was revoked`);
    if (slot === "current") return boxOf(box, "current");
    // Its first use: from now on the old key opens nothing.
    return boxOf(await store.boxes.promoteKey(box.id, hash, promotion(box, clock.wallMs())), "next");
  };

  /** Boxes first: they are many and ask all the time. */
  const lookUp = async (hash: string): Promise<Identity> => {
    const identity = (await findBox(hash)) ?? (await findOperator(hash));
    if (identity === undefined) throw new AppError("unauthorized", "this token opens nothing");
    return identity;
  };

  const identifyHash = async (hash: string): Promise<Identity> => {
    const held = cache.get(hash);
    if (held !== undefined && held.untilMs > clock.monotonicMs()) return held.identity;
    cache.delete(hash);
    // The time is taken before the look: what changes during it is not believed for longer.
    const sinceMs = clock.monotonicMs();
    const changes = boxChanges;
    const identity = await lookUp(hash);
    // A box that changed during the look is believed for a moment only.
    const isSettled = isAlone && identity.kind === "box" && boxChanges === changes;
    cache.set(hash, { identity, untilMs: sinceMs + (isSettled ? OWN_BOX_CACHE_MS : CACHE_MS) });
    if (cache.size > MAX_CACHED) {
      const [oldest] = cache.keys();
      if (oldest !== undefined) cache.delete(oldest);
    }
    return identity;
  };

  const recheck = async (hash: string) => {
    cache.delete(hash);
    let reason: unknown = new AppError("unauthorized", "the right of this caller has changed; connect again");
    let now: Identity | undefined;
    try {
      now = await identifyHash(hash);
    } catch (thrown) {
      // A store that is away takes nobody's right away: boxes keep their streams until it can tell.
      if (!(thrown instanceof AppError) || thrown.code !== "unauthorized") return;
      reason = thrown;
    }
    for (const one of watched.get(hash) ?? []) {
      if (now === undefined || !isSameRight(one.identity, now)) one.control.abort(reason);
    }
  };

  const recheckThose = async (concerned: (identity: Identity) => boolean) => {
    for (const [hash, { identity }] of cache) if (concerned(identity)) cache.delete(hash);
    for (const [hash, some] of watched) {
      const [first] = some;
      if (first !== undefined && concerned(first.identity)) await recheck(hash);
    }
  };

  const stopListening = store.onHint((hint) => {
    if (hint.kind === "box" || hint.kind === "all") boxChanges++;
    const concerned = concernedBy(hint);
    if (concerned !== undefined) void recheckThose(concerned);
  });

  return {
    identify: async (token) => {
      if (token === undefined) return { kind: "anybody" };
      const identity = await identifyHash(hashSecret(token));
      if (identity.kind === "operator") uses.set(identity.tokenId, clock.wallMs());
      return identity;
    },
    watch: (token, identity, control) => {
      if (token === undefined) return { [Symbol.dispose]: () => undefined };
      const hash = hashSecret(token);
      const one: Watched = { identity, control };
      watched.set(hash, [...(watched.get(hash) ?? []), one]);
      return {
        [Symbol.dispose]: () => {
          const others = (watched.get(hash) ?? []).filter((other) => other !== one);
          if (others.length === 0) watched.delete(hash);
          else watched.set(hash, others);
        },
      };
    },
    takeUses: () => {
      const taken = [...uses].map(([id, atMs]) => ({ id, atMs }));
      uses.clear();
      return taken;
    },
    sweep: () => {
      const nowMs = clock.monotonicMs();
      for (const [hash, { untilMs }] of cache) if (untilMs <= nowMs) cache.delete(hash);
      return recheckThose(({ kind }) => kind === "operator");
    },
    close: stopListening,
  };
}

/** Pure. Whose right a change may have touched; `undefined`: nobody's. */
function concernedBy(hint: Hint): ((identity: Identity) => boolean) | undefined {
  if (hint.kind === "all") return () => true;
  if (hint.kind === "operators") return ({ kind }) => kind === "operator";
  if (hint.kind === "box") return (identity) => identity.kind === "box" && identity.boxId === hint.boxId;
  return undefined;
}

/** Pure. */
export function operatorOf(token: OperatorToken, nowMs: number): Identity {
  if (token.revokedMs !== undefined) throw new AppError("unauthorized", `token ${token.id} was revoked`);
  if (token.expiresMs !== undefined && token.expiresMs <= nowMs) {
    throw new AppError("unauthorized", `token ${token.id} has expired; ask for another`);
  }
  return { kind: "operator", tokenId: token.id, name: token.name, role: token.role };
}

function boxOf(box: Box, keySlot: "current" | "next"): Identity {
  const blocked =
    box.state === "approved" ? undefined : `box ${box.id} waits for approval: a person has to approve it on the hub`;
  return { kind: "box", boxId: box.id, keySlot, blocked };
}

function promotion(box: Box, nowMs: number) {
  const audit = {
    actor: `box:${box.id}`,
    action: "box.key-changed",
    subject: `box/${box.id}`,
    outcome: "done",
  } as const;
  return { nowMs, audit };
}

/** A key that moved from `next` to `current` is the same right. */
function isSameRight(before: Identity, now: Identity): boolean {
  if (before.kind === "box" && now.kind === "box") {
    const blockedBefore = "blocked" in before ? before.blocked : undefined;
    const blockedNow = "blocked" in now ? now.blocked : undefined;
    // What is freed from waiting keeps its connection.
    return before.boxId === now.boxId && (blockedNow === undefined || blockedBefore !== undefined);
  }
  return (
    before.kind === "operator" && now.kind === "operator" && before.tokenId === now.tokenId && before.role === now.role
  );
}
