import { z } from "zod";
import { TUNNEL_PHASES, tunnelCreateSchema } from "../../contract/fleet/tunnel.ts";
import {
  certificateSchema,
  connectPointSchema,
  ipAddressSchema,
  listenPointSchema,
  MAX_TUNNEL_LEGS,
  type TunnelRole,
} from "../../contract/tunnel-spec.ts";
import type { StoredObject } from "../store/objects.ts";
import { everyItem } from "../store/page.ts";
import type { Store } from "../store/store.ts";

/** What people ask of a tunnel, and what was found for it. Only their changes move its revision, and a busy port. */
export const TUNNEL_KIND = "tunnel";
/** How far the tunnel is: written by the hub that carries tunnels out. */
export const TUNNEL_STATE_KIND = "tunnel-state";

/** One way through. Each end listens at one of the addresses and knows where to go from there. */
const waySchema = z.object({
  /** At the consumer's box. */
  entry: listenPointSchema,
  /** Where the consumer's box reaches the gateway. */
  dial: connectPointSchema,
  /** Where the producer's box listens for that. */
  gateway: listenPointSchema,
  source: connectPointSchema,
});
export type TunnelWay = z.output<typeof waySchema>;

const recordSchema = z.object({
  wish: tunnelCreateSchema,
  ways: z.array(waySchema).min(1).max(MAX_TUNNEL_LEGS),
  /** Where the gateways listen. */
  gatewayAddress: ipAddressSchema,
  /** Generation of the keys that people want; while it is above that of the state, keys are being changed. */
  keyGeneration: z.int().min(1),
  /** Wall time at which that generation was asked for. */
  keysAskedMs: z.number(),
  /** The last two, where both ends have the same key. Sealed (`shared-key.ts`); they go to the boxes and nowhere else. */
  sharedKeys: z.array(z.object({ generation: z.int(), secret: z.string() })).optional(),
  /** By the hub's clock. */
  endsAtMs: z.number().optional(),
  ending: z.object({ sinceMs: z.number(), reason: z.string() }).optional(),
});
export type TunnelRecord = z.output<typeof recordSchema>;

export interface Tunnel extends TunnelRecord {
  readonly uid: string;
  readonly revision: number;
  readonly createdMs: number;
  readonly updatedMs: number;
}

const certificatesSchema = z.array(z.object({ generation: z.int(), sha256: z.string(), pem: certificateSchema }));
export type KnownCertificates = z.output<typeof certificatesSchema>;

/**
 * The way to the next generation of keys: both ends make it (`making`), both accept it beside the old one (`accepting`),
 * both present it (`presenting`), both accept it alone (`dropping`). A shared key is made by the hub, so it begins with `accepting`.
 */
export const KEY_STEPS = ["making", "accepting", "presenting", "dropping"] as const;

const stateSchema = z.object({
  /** `createdMs` of the tunnel that it tells of: another one may have had the uid before. */
  of: z.number(),
  phase: z.enum(TUNNEL_PHASES),
  reason: z.string().optional(),
  sinceMs: z.number(),
  steps: z.array(z.object({ phase: z.enum(TUNNEL_PHASES), afterMs: z.number() })),
  keys: z.object({ generation: z.int(), step: z.enum(KEY_STEPS).optional(), sinceMs: z.number() }),
  /** As the ends last told them: an end whose box is away keeps its place with the other. */
  certificates: z.object({ producer: certificatesSchema, consumer: certificatesSchema }),
  /** How far each box's clock is ahead of the hub's. Set when it is far off, and again when it has moved far. */
  clockAheadMs: z.object({ producer: z.number(), consumer: z.number() }),
  /** That it is about to end was told. */
  isWarned: z.boolean(),
});
export type TunnelState = z.output<typeof stateSchema>;

export interface HeldState {
  readonly revision: number;
  readonly state: TunnelState;
}

export function ownerOf(uid: string): string {
  return `tunnel/${uid}`;
}

export function workloadIdOf(uid: string, role: TunnelRole): string {
  return `${uid}.${role}`;
}

export function boxOf({ wish }: Pick<TunnelRecord, "wish">, role: TunnelRole): string {
  return role === "producer" ? wish.producer : wish.consumer;
}

/** `undefined` for what no version of this program wrote. */
export function toTunnel({ id, revision, createdMs, updatedMs, body }: StoredObject): Tunnel | undefined {
  const parsed = recordSchema.safeParse(body);
  return parsed.success ? { ...parsed.data, uid: id, revision, createdMs, updatedMs } : undefined;
}

export function recordOf({
  uid: _uid,
  revision: _revision,
  createdMs: _created,
  updatedMs: _updated,
  ...record
}: Tunnel) {
  return record satisfies TunnelRecord;
}

/** `undefined` also where the state is that of an earlier tunnel. */
export function toState(object: StoredObject | undefined, tunnel: Pick<Tunnel, "createdMs">): TunnelState | undefined {
  const parsed = stateSchema.safeParse(object?.body);
  return parsed.success && parsed.data.of === tunnel.createdMs ? parsed.data : undefined;
}

export function firstState({ createdMs }: Pick<Tunnel, "createdMs">): TunnelState {
  return {
    of: createdMs,
    phase: "requested",
    sinceMs: createdMs,
    steps: [{ phase: "requested", afterMs: 0 }],
    keys: { generation: 1, sinceMs: createdMs },
    certificates: { producer: [], consumer: [] },
    clockAheadMs: { producer: 0, consumer: 0 },
    isWarned: false,
  };
}

/** `known`: as listed before; what has not changed since is not parsed again. */
export async function listTunnels(
  store: Pick<Store, "objects">,
  known?: ReadonlyMap<string, Tunnel>,
): Promise<readonly Tunnel[]> {
  const tunnels: Tunnel[] = [];
  for await (const object of everyItem((page) => store.objects.list(TUNNEL_KIND, page))) {
    const before = known?.get(object.id);
    const isSame = before?.revision === object.revision && before.createdMs === object.createdMs;
    const tunnel = isSame ? before : toTunnel(object);
    if (tunnel !== undefined) tunnels.push(tunnel);
  }
  return tunnels;
}
