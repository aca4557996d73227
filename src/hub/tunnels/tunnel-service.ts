import { AppError } from "../../base/errors.ts";
import { type Service, untilAborted } from "../../base/service.ts";
import { createHeldLease } from "../held-lease.ts";
import type { HubContext } from "../hub-context.ts";
import { createLapBell, runLeasedLaps } from "../leased-laps.ts";
import type { Presence } from "../life/presence.ts";
import type { Hint } from "../store/store.ts";
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

const RENEW_MS = 2000;
/** Short: two hubs that both believe to hold it come to the same, so only work done twice is at stake. */
const LEASE = { name: "tunnels", ttlMs: 6000, renewMs: RENEW_MS };
/** Also what was missed by every hint is found by then. */
const FULL_LAP_MS = 15_000;
const RETRY_MS = 500;
const TUNNELS_AT_ONCE = 16;
/** Several steps may be due one after the other; none waits for a hint. */
const STEPS_A_TURN = 8;

/**
 * Brings every tunnel to what people want of it. One hub at a time does it, by lease. Level-triggered: each turn reads what is
 * there, plans, and writes the difference; a hub that dies between two writes leaves nothing that the next turn does not
 * find. Woken at once by what boxes report of tunnels, through whichever hub.
 */
export function createTunnelService({ context, presence, ports, maker }: TunnelServiceDeps): Service {
  const { store, clock, log } = context;
  const steps = createTunnelSteps({ context, presence, ports, maker });
  return {
    name: "tunnels",
    run: async (signal) => {
      /** As last listed. */
      let tunnels = new Map<string, Tunnel>();
      const dirty = new Set<string>();
      const dueAtMs = new Map<string, number>();
      let mustList = true;
      const bell = createLapBell();
      const lease = createHeldLease(LEASE, context);
      let fullAtMs = Number.NEGATIVE_INFINITY;

      const markBox = (boxId: string) => {
        for (const { uid, wish } of tunnels.values()) {
          if (wish.producer === boxId || wish.consumer === boxId) dirty.add(uid);
        }
        if (dirty.size > 0) bell.ring();
      };
      const markAll = () => {
        fullAtMs = Number.NEGATIVE_INFINITY;
        bell.ring();
      };
      const stopListening = store.onHint((hint: Hint) => {
        if (hint.kind === "box" || hint.kind === "expected" || hint.kind === "tunnel-facts") markBox(hint.boxId);
        if (hint.kind === "all") markAll();
        if (hint.kind === "objects" && hint.of === TUNNEL_KIND) {
          mustList = true;
          bell.ring();
        }
      });
      presence.onChange(({ boxId }) => markBox(boxId));

      const list = async (): Promise<void> => {
        mustList = false;
        try {
          const before = tunnels;
          tunnels = new Map((await listTunnels(store, before)).map((tunnel) => [tunnel.uid, tunnel]));
          for (const { uid, revision } of tunnels.values()) if (before.get(uid)?.revision !== revision) dirty.add(uid);
        } catch (thrown) {
          mustList = true;
          throw thrown;
        }
      };

      const lap = async (): Promise<void> => {
        bell.silence();
        const isDue = clock.monotonicMs() >= fullAtMs;
        if (mustList || isDue) await list();
        // A fleet without tunnels costs no lease.
        if (tunnels.size === 0 && !lease.isHeld()) return;
        const { isHeld, isNew } = await lease.hold();
        if (!isHeld) return;
        const isFull = isDue || isNew;
        if (isFull) {
          for (const uid of tunnels.keys()) dirty.add(uid);
          await ports.sweep(async (uid) => (await store.objects.get(TUNNEL_KIND, uid)) !== undefined);
          fullAtMs = clock.monotonicMs() + FULL_LAP_MS;
        }
        const nowMs = clock.wallMs();
        for (const [uid, due] of dueAtMs) if (due <= nowMs) dirty.add(uid);
        const wanted = [...dirty];
        dirty.clear();
        steps.forgetBoxes();
        try {
          for (let from = 0; from < wanted.length; from += TUNNELS_AT_ONCE) {
            await Promise.all(wanted.slice(from, from + TUNNELS_AT_ONCE).map((uid) => settle(uid, isFull)));
          }
        } catch (thrown) {
          for (const uid of wanted) dirty.add(uid);
          throw thrown;
        }
      };

      const settle = async (uid: string, isFull: boolean): Promise<void> => {
        for (let step = 0; step < STEPS_A_TURN; step++) {
          const object = await store.objects.get(TUNNEL_KIND, uid);
          const tunnel = object === undefined ? undefined : toTunnel(object);
          dueAtMs.delete(uid);
          if (tunnel === undefined) {
            tunnels.delete(uid);
            return;
          }
          try {
            if (isFull && step === 0 && tunnel.ending === undefined) await claimExactly(tunnel, ports);
            const { mayGoOn, dueMs } = await steps.take(tunnel);
            if (dueMs !== undefined) dueAtMs.set(uid, dueMs);
            if (!mayGoOn) return;
          } catch (thrown) {
            const isRace = thrown instanceof AppError && (thrown.code === "conflict" || thrown.code === "not-found");
            if (!isRace) throw thrown;
            // Someone was quicker; what they wrote is read in the next step.
            log.debug(`Tunnel ${uid} changed meanwhile: ${thrown.message}`);
          }
        }
        dirty.add(uid);
      };

      try {
        // It is never ready while the store is away, and a hub must be able to end.
        await Promise.race([presence.ready, untilAborted(signal)]);
        await runLeasedLaps(
          {
            title: "Tunnels",
            periodMs: RENEW_MS,
            retryMs: RETRY_MS,
            lap,
            untilDueMs: () => Math.min(Number.POSITIVE_INFINITY, ...dueAtMs.values()) - clock.wallMs(),
            isOthers: () => !lease.isHeld() && tunnels.size > 0,
            untilCalled: bell.untilRung,
          },
          context,
          signal,
        );
      } finally {
        stopListening();
        await lease.release();
      }
    },
  };
}
