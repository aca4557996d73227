import type { z } from "zod";
import { formatPoint } from "../../contract/describe-spec.ts";
import type { TunnelPhase, tunnelViewSchema } from "../../contract/fleet/tunnel.ts";
import type { TunnelRole } from "../../contract/tunnel-spec.ts";
import type { BoxReport } from "../store/box-report.ts";
import type { Store } from "../store/store.ts";
import { statusOf } from "./plan-tunnel.ts";
import { firstState, listTunnels, TUNNEL_STATE_KIND, type Tunnel, type TunnelState, toState } from "./tunnel-record.ts";

export type TunnelViewInput = z.input<typeof tunnelViewSchema>;

export async function readTunnelView(
  tunnel: Tunnel,
  { objects, reports }: Pick<Store, "objects" | "reports">,
): Promise<TunnelViewInput> {
  const [state, producer, consumer] = await Promise.all([
    objects.get(TUNNEL_STATE_KIND, tunnel.uid),
    reports.get(tunnel.wish.producer),
    reports.get(tunnel.wish.consumer),
  ]);
  return viewOf(tunnel, toState(state, tunnel) ?? firstState(tunnel), { producer, consumer });
}

/** How many tunnels are in each phase now. */
export async function countTunnels(store: Pick<Store, "objects">): Promise<Record<TunnelPhase, number>> {
  const counts = { requested: 0, prepared: 0, linked: 0, up: 0, degraded: 0, down: 0, ending: 0 };
  for (const tunnel of await listTunnels(store)) {
    const state = toState(await store.objects.get(TUNNEL_STATE_KIND, tunnel.uid), tunnel);
    counts[tunnel.ending === undefined ? (state?.phase ?? "requested") : "ending"]++;
  }
  return counts;
}

/** Pure. Nothing of it is secret: of shared keys it tells generations. */
export function viewOf(
  tunnel: Tunnel,
  state: TunnelState,
  reports: Readonly<Record<TunnelRole, BoxReport | undefined>>,
): TunnelViewInput {
  const { uid, revision, wish, ways, endsAtMs, ending, keyGeneration, createdMs, updatedMs } = tunnel;
  const producer = statusOf(tunnel, "producer", { report: reports.producer });
  const consumer = statusOf(tunnel, "consumer", { report: reports.consumer });
  const bits = consumer?.bitsPerSecond ?? producer?.bitsPerSecond;
  const reason = ending?.reason ?? state.reason;
  return {
    uid,
    ...(wish.name === undefined ? {} : { name: wish.name }),
    revision,
    producer: wish.producer,
    consumer: wish.consumer,
    phase: ending === undefined ? state.phase : "ending",
    ...(reason === undefined ? {} : { reason }),
    since: iso(ending === undefined ? state.sinceMs : ending.sinceMs),
    steps: state.steps,
    ways: ways.map(({ entry, dial, gateway, source }) => ({
      entry: formatPoint(entry.address, entry.port),
      gateway: formatPoint(dial.host, dial.port),
      gatewayListen: formatPoint(gateway.address, gateway.port),
      source: formatPoint(source.host, source.port),
    })),
    security: wish.security,
    minTls: wish.minTls,
    ...(wish.rateMbit === undefined ? {} : { rateMbit: wish.rateMbit }),
    ...(bits === undefined ? {} : { measuredMbit: Math.round(bits / 1000) / 1000 }),
    ...(endsAtMs === undefined ? {} : { endsAt: iso(endsAtMs) }),
    keys: {
      generation: state.keys.generation,
      isRotating: state.keys.generation < keyGeneration,
      since: iso(state.keys.sinceMs),
    },
    ends: { ...(producer === undefined ? {} : { producer }), ...(consumer === undefined ? {} : { consumer }) },
    wish,
    createdAt: iso(createdMs),
    updatedAt: iso(updatedMs),
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
