import type { Service } from "../../base/service.ts";
import type { HubContext } from "../hub-context.ts";
import type { Presence } from "../life/presence.ts";
import { createSettledObjects } from "../settled-objects.ts";
import type { PortBook } from "./port-book.ts";
import { claimExactly, type TunnelMaker } from "./tunnel-maker.ts";
import { listTunnels, TUNNEL_KIND, type Tunnel, toTunnel } from "./tunnel-record.ts";
import { createTunnelSteps } from "./tunnel-steps.ts";

export interface TunnelServiceDeps {
  readonly context: HubContext;
  readonly presence: Pick<Presence, "of" | "onChange" | "ready">;
  readonly ports: PortBook;
  readonly maker: TunnelMaker;
}

const FULL_LAP_MS = 15_000;

/** Brings every tunnel to what people want of it. Woken at once by what boxes report of tunnels, through whichever hub. */
export function createTunnelService({ context, presence, ports, maker }: TunnelServiceDeps): Service {
  const { store } = context;
  const steps = createTunnelSteps({ context, presence, ports, maker });
  return {
    name: "tunnels",
    run: async (signal) => {
      const markBox = (boxId: string) => {
        const near = [...tunnels.all().values()].filter(
          ({ wish }) => wish.producer === boxId || wish.consumer === boxId,
        );
        for (const { uid } of near) tunnels.mark(uid);
        if (near.length > 0) tunnels.ring();
      };
      const tunnels = createSettledObjects<Tunnel>(
        {
          name: "tunnels",
          title: "Tunnels",
          noun: "Tunnel",
          objectKind: TUNNEL_KIND,
          fullLapMs: FULL_LAP_MS,
          list: async (before) => new Map((await listTunnels(store, before)).map((tunnel) => [tunnel.uid, tunnel])),
          find: async (uid) => {
            const object = await store.objects.get(TUNNEL_KIND, uid);
            return object === undefined ? undefined : toTunnel(object);
          },
          step: async (tunnel, { isFull, isFirst }) => {
            if (isFull && isFirst && tunnel.ending === undefined) await claimExactly(tunnel, ports);
            return steps.take(tunnel);
          },
          onLap: async ({ isFull }) => {
            if (isFull) await ports.sweep(async (uid) => (await store.objects.get(TUNNEL_KIND, uid)) !== undefined);
            steps.forgetBoxes();
          },
          onHint: (hint) => {
            if (hint.kind === "box" || hint.kind === "expected" || hint.kind === "tunnel-facts") markBox(hint.boxId);
          },
        },
        context,
      );
      presence.onChange(({ boxId }) => markBox(boxId));
      await tunnels.run(presence.ready, signal);
    },
  };
}
