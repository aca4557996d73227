import { createHash } from "node:crypto";
import { AppError } from "../../base/errors.ts";
import type { TunnelWish } from "../../contract/fleet/tunnel.ts";
import type { TunnelFacts } from "../../contract/tunnel-status.ts";
import { findBox } from "../find-box.ts";
import type { HubContext } from "../hub-context.ts";
import { notFound } from "../store/store-error.ts";
import type { WriteContext } from "../store/write-context.ts";
import type { Listen } from "./choose-ports.ts";
import { identityOf } from "./plan-keys.ts";
import type { PortBook } from "./port-book.ts";
import { resolveWish, waysOf } from "./resolve-wish.ts";
import { newSharedKey } from "./shared-key.ts";
import {
  recordOf,
  TUNNEL_KIND,
  TUNNEL_STATE_KIND,
  type Tunnel,
  type TunnelRecord,
  toState,
  toTunnel,
} from "./tunnel-record.ts";

/** Writes what people want of tunnels. Everything that a tunnel needs is reserved before it is written, and released if it is not. */
export interface TunnelMaker {
  get(uid: string): Promise<Tunnel>;
  /** Makes it, or another form of it. `not-found` (a box), `conflict`, `invalid`: see `resolveWish` and `PortBook`. */
  put(uid: string, wish: TunnelWish, context: PutContext): Promise<Tunnel>;
  /** Its ends get other keys, and connections go on. `conflict` while that is under way already. */
  rotate(tunnel: Tunnel, context: PutContext): Promise<Tunnel>;
  /** It is taken away from its boxes. Of one that is ending already nothing changes. */
  end(tunnel: Tunnel, reason: string, context: PutContext): Promise<Tunnel>;
}

export interface PutContext extends WriteContext {
  readonly expectedRevision?: number | undefined;
}

/** `<uid>.producer` is the id of a workload. */
export const MAX_UID_LENGTH = 63 - ".producer".length;
const FIXED = ["producer", "consumer", "security"] as const;

export function createTunnelMaker(
  { store, newSecret, secrets }: Pick<HubContext, "store" | "newSecret" | "secrets">,
  { ports }: { readonly ports: PortBook },
): TunnelMaker {
  const find = async (uid: string): Promise<Tunnel | undefined> => {
    const object = await store.objects.get(TUNNEL_KIND, uid);
    return object === undefined ? undefined : toTunnel(object);
  };

  const save = async (uid: string, body: TunnelRecord, context: PutContext): Promise<Tunnel> => {
    const saved = toTunnel(await store.objects.put({ kind: TUNNEL_KIND, id: uid, body }, context));
    if (saved === undefined)
      throw new AppError("internal", `tunnel ${uid} was written in a form that is not understood`);
    return saved;
  };

  const requireBox = async (
    boxId: string,
    field: "producer" | "consumer",
    isNew: boolean,
  ): Promise<TunnelFacts | undefined> => {
    const [report] = await Promise.all([store.reports.get(boxId), findBox(boxId, { field, isNew }, store)]);
    return report?.report.tunnels;
  };

  /** What was reserved for a form that did not come to be gives way to what is there. */
  const restore = async (uid: string, wish: TunnelWish): Promise<void> => {
    const held = await find(uid);
    if (held === undefined) {
      for (const boxId of [wish.producer, wish.consumer]) await ports.release(boxId, uid);
    } else await claimExactly(held, ports);
  };

  return {
    get: async (uid) => {
      const tunnel = await find(uid);
      if (tunnel === undefined) throw notFound("tunnel", uid);
      return tunnel;
    },
    put: async (uid, wish, context) => {
      if (uid.length > MAX_UID_LENGTH) {
        throw new AppError("invalid", `uid: given ${uid.length} characters; allowed: at most ${MAX_UID_LENGTH}`, {
          field: "uid",
        });
      }
      const held = await find(uid);
      if (held !== undefined) requireChangeable(held, wish);
      const [producer, consumer] = await Promise.all([
        requireBox(wish.producer, "producer", held === undefined),
        requireBox(wish.consumer, "consumer", held === undefined),
      ]);
      const resolved = resolveWish(wish, { producer, held });
      const { rateMbit } = wish;
      try {
        const claim = (facts: TunnelFacts | undefined) => ({
          uid,
          range: facts?.ports,
          rateMbit,
          uplinkMbit: facts?.uplinkMbit,
        });
        const [entries, gateways] = await both(
          ports.reserve(wish.consumer, { ...claim(consumer), ports: resolved.entries }),
          ports.reserve(wish.producer, { ...claim(producer), ports: resolved.gateways }),
        );
        const body: TunnelRecord = {
          wish,
          ways: waysOf(wish, resolved, { entries, gateways }),
          gatewayAddress: resolved.gatewayAddress,
          ...keysOf(held, wish, { uid, newSecret, secrets, nowMs: context.nowMs }),
          ...endOf(held, wish, context.nowMs),
        };
        return await save(uid, body, { ...context, expectedRevision: context.expectedRevision ?? held?.revision ?? 0 });
      } catch (thrown) {
        // A store that is away cannot be mended now; what is left over is swept later.
        await restore(uid, wish).catch(() => undefined);
        throw thrown;
      }
    },
    rotate: async (tunnel, context) => {
      if (tunnel.ending !== undefined) throw isEnding(tunnel);
      const state = toState(await store.objects.get(TUNNEL_STATE_KIND, tunnel.uid), tunnel);
      if ((state?.keys.generation ?? 1) < tunnel.keyGeneration) {
        throw new AppError("conflict", `the keys of tunnel ${tunnel.uid} are being changed already`);
      }
      const keyGeneration = tunnel.keyGeneration + 1;
      const { sharedKeys } = tunnel;
      const body: TunnelRecord = {
        ...recordOf(tunnel),
        keyGeneration,
        keysAskedMs: context.nowMs,
        ...(sharedKeys === undefined
          ? {}
          : { sharedKeys: [...sharedKeys.slice(-1), keyOf(tunnel.uid, keyGeneration, { newSecret, secrets })] }),
      };
      return save(tunnel.uid, body, { ...context, expectedRevision: context.expectedRevision ?? tunnel.revision });
    },
    end: async (tunnel, reason, context) => {
      if (tunnel.ending !== undefined) return tunnel;
      const body = { ...recordOf(tunnel), ending: { sinceMs: context.nowMs, reason } };
      return save(tunnel.uid, body, { ...context, expectedRevision: context.expectedRevision ?? tunnel.revision });
    },
  };
}

/** Makes the sheets of both boxes hold what the tunnel has. */
export async function claimExactly({ uid, wish, ways }: Tunnel, ports: PortBook): Promise<void> {
  const exact = (listens: readonly Listen[]) => ({
    uid,
    range: undefined,
    rateMbit: wish.rateMbit,
    uplinkMbit: undefined,
    ports: listens.map((listen, way) => ({ ...listen, field: `ways[${way}]` })),
  });
  await both(
    ports.reserve(wish.consumer, exact(ways.map(({ entry }) => entry))),
    ports.reserve(wish.producer, exact(ways.map(({ gateway }) => gateway))),
  );
}

/** Ten letters and digits; from a request's id, so that a repeated request means the same tunnel. */
export function newUid(seed: string): string {
  const letters = "abcdefghjkmnpqrstuvwxyz23456789";
  const hash = createHash("sha256").update(seed).digest();
  return [...hash.subarray(0, 10)].map((byte) => letters[byte % letters.length]).join("");
}

/** Both have ended before either's failure is told: nothing goes on behind its back. */
async function both<Answer>(one: Promise<Answer>, other: Promise<Answer>): Promise<readonly [Answer, Answer]> {
  await Promise.allSettled([one, other]);
  return [await one, await other];
}

function requireChangeable(held: Tunnel, wish: TunnelWish): void {
  if (held.ending !== undefined) throw isEnding(held);
  for (const field of FIXED) {
    if (held.wish[field] === wish[field]) continue;
    throw new AppError(
      "conflict",
      `${field}: given ${wish[field]}; tunnel ${held.uid} has ${held.wish[field]}, which cannot be changed; take it down, or make another`,
      { field },
    );
  }
}

function isEnding({ uid, ending }: Tunnel): AppError {
  return new AppError("conflict", `tunnel ${uid} is ending: ${ending?.reason ?? "it was taken down"}`);
}

function keysOf(
  held: Tunnel | undefined,
  wish: TunnelWish,
  { uid, nowMs, ...by }: KeyMaker & { readonly uid: string; readonly nowMs: number },
): Pick<TunnelRecord, "keyGeneration" | "keysAskedMs" | "sharedKeys"> {
  if (held !== undefined) {
    const { keyGeneration, keysAskedMs, sharedKeys } = held;
    return { keyGeneration, keysAskedMs, ...(sharedKeys === undefined ? {} : { sharedKeys }) };
  }
  const sharedKeys = wish.security === "psk" ? { sharedKeys: [keyOf(uid, 1, by)] } : {};
  return { keyGeneration: 1, keysAskedMs: nowMs, ...sharedKeys };
}

type KeyMaker = Pick<HubContext, "newSecret" | "secrets">;

function keyOf(uid: string, generation: number, by: KeyMaker) {
  return { generation, secret: newSharedKey(by, identityOf(uid, generation)) };
}

/** The same lifetime again does not begin anew. */
function endOf(
  held: Tunnel | undefined,
  { lifetimeSeconds }: TunnelWish,
  nowMs: number,
): Pick<TunnelRecord, "endsAtMs"> {
  if (lifetimeSeconds === undefined) return {};
  const kept = held?.wish.lifetimeSeconds === lifetimeSeconds ? held.endsAtMs : undefined;
  return { endsAtMs: kept ?? nowMs + lifetimeSeconds * 1000 };
}
