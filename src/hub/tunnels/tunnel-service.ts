import { AppError, messageOf } from "../../base/errors.ts";
import { type Service, untilAborted } from "../../base/service.ts";
import type { TunnelRole } from "../../contract/tunnel-spec.ts";
import type { HubContext } from "../hub-context.ts";
import type { Presence } from "../life/presence.ts";
import type { Hint } from "../store/store.ts";
import { type EndFacts, planTunnel, type TunnelPlan } from "./plan-tunnel.ts";
import type { PortBook } from "./port-book.ts";
import { claimExactly, type TunnelMaker } from "./tunnel-maker.ts";
import {
  boxOf,
  listTunnels,
  ownerOf,
  recordOf,
  TUNNEL_KIND,
  TUNNEL_STATE_KIND,
  type Tunnel,
  toState,
  toTunnel,
} from "./tunnel-record.ts";

export interface TunnelServiceDeps {
  readonly context: HubContext;
  readonly presence: Pick<Presence, "of" | "onChange" | "ready">;
  readonly ports: PortBook;
  readonly maker: TunnelMaker;
}

type BoxFacts = Pick<EndFacts, "box" | "report" | "set">;

const LEASE = "tunnels";
/** Short: two hubs that both believe to hold it come to the same, so only work done twice is at stake. */
const LEASE_MS = 6000;
const RENEW_MS = 2000;
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
  const { store, clock, log, hubId } = context;
  return {
    name: "tunnels",
    run: async (signal) => {
      /** As last listed. */
      let tunnels = new Map<string, Tunnel>();
      const dirty = new Set<string>();
      const dueAtMs = new Map<string, number>();
      let mustList = true;
      let wake: () => void = () => undefined;
      let fence: number | undefined;
      let renewAtMs = 0;
      let fullAtMs = Number.NEGATIVE_INFINITY;
      let isFailing = false;
      /** Read once a lap, and again after a write: a hundred tunnels between two boxes are two boxes. */
      const boxesSeen = new Map<string, Promise<BoxFacts>>();

      const markBox = (boxId: string) => {
        for (const { uid, wish } of tunnels.values()) {
          if (wish.producer === boxId || wish.consumer === boxId) dirty.add(uid);
        }
        if (dirty.size > 0) wake();
      };
      const markAll = () => {
        fullAtMs = Number.NEGATIVE_INFINITY;
        wake();
      };
      const stopListening = store.onHint((hint: Hint) => {
        if (hint.kind === "box" || hint.kind === "expected" || hint.kind === "tunnel-facts") markBox(hint.boxId);
        if (hint.kind === "all") markAll();
        if (hint.kind === "objects" && hint.of === TUNNEL_KIND) {
          mustList = true;
          wake();
        }
      });
      presence.onChange(({ boxId }) => markBox(boxId));

      const holdLease = async (): Promise<boolean> => {
        if (fence === undefined || clock.monotonicMs() >= renewAtMs) {
          renewAtMs = clock.monotonicMs() + RENEW_MS;
          const answer = await store.leases.acquire(LEASE, { holder: hubId, ttlMs: LEASE_MS, nowMs: clock.wallMs() });
          const held = answer.held ? answer.lease.fence : undefined;
          if (held !== fence) fullAtMs = Number.NEGATIVE_INFINITY;
          fence = held;
        }
        return fence !== undefined;
      };

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
        const isFull = clock.monotonicMs() >= fullAtMs;
        if (mustList || isFull) await list();
        // A fleet without tunnels costs no lease.
        if (tunnels.size === 0 && fence === undefined) return;
        if (!(await holdLease())) return;
        if (isFull) {
          for (const uid of tunnels.keys()) dirty.add(uid);
          await ports.sweep(async (uid) => (await store.objects.get(TUNNEL_KIND, uid)) !== undefined);
          fullAtMs = clock.monotonicMs() + FULL_LAP_MS;
        }
        const nowMs = clock.wallMs();
        for (const [uid, due] of dueAtMs) if (due <= nowMs) dirty.add(uid);
        const wanted = [...dirty];
        dirty.clear();
        boxesSeen.clear();
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
          if (tunnel === undefined) {
            dueAtMs.delete(uid);
            return;
          }
          try {
            if (isFull && step === 0 && tunnel.ending === undefined) await claimExactly(tunnel, ports);
            if (!(await takeStep(tunnel))) return;
          } catch (thrown) {
            const isRace = thrown instanceof AppError && (thrown.code === "conflict" || thrown.code === "not-found");
            if (!isRace) throw thrown;
            // Someone was quicker; what they wrote is read in the next step.
            log.debug(`Tunnel ${uid} changed meanwhile: ${thrown.message}`);
          }
        }
        dirty.add(uid);
      };

      /** Answers whether something was written, so that another step may be due. */
      const takeStep = async (tunnel: Tunnel): Promise<boolean> => {
        const { uid } = tunnel;
        const [held, producer, consumer] = await Promise.all([
          store.objects.get(TUNNEL_STATE_KIND, uid),
          readEnd(tunnel, "producer"),
          readEnd(tunnel, "consumer"),
        ]);
        const nowMs = clock.wallMs();
        const state = toState(held, tunnel);
        const plan = planTunnel(tunnel, state, { producer, consumer, nowMs });
        if (plan.dueMs === undefined) dueAtMs.delete(uid);
        else dueAtMs.set(uid, plan.dueMs);
        let isWritten = false;
        if (state === undefined || JSON.stringify(plan.state) !== JSON.stringify(state)) {
          const object = { kind: TUNNEL_STATE_KIND, id: uid, body: plan.state };
          await store.objects.put(object, { nowMs, expectedRevision: held?.revision ?? 0, event: plan.event });
          isWritten = true;
        }
        if (plan.end !== undefined) {
          await maker.end(tunnel, plan.end, {
            nowMs,
            ...spoken(tunnel, "tunnel.end", `Tunnel ${uid} ends: ${plan.end}`),
          });
          return true;
        }
        const changes = await Promise.all(plan.writes.map((write) => carryOut(tunnel, write)));
        if (plan.isOver) {
          await finish(tunnel);
          return false;
        }
        for (const busy of plan.busy) await replacePort(tunnel, busy);
        return isWritten || changes.includes(true) || plan.busy.length > 0;
      };

      const readEnd = async (tunnel: Tunnel, role: TunnelRole): Promise<EndFacts> => {
        const boxId = boxOf(tunnel, role);
        const facts = boxesSeen.get(boxId) ?? readBox(boxId);
        boxesSeen.set(boxId, facts);
        return { ...(await facts), ...presence.of(boxId) };
      };

      const readBox = async (boxId: string): Promise<BoxFacts> => {
        const [box, report] = await Promise.all([store.boxes.get(boxId), store.reports.get(boxId)]);
        const set = box === undefined ? undefined : await store.expected.get(boxId).catch(unlessGone);
        return { box, report, set };
      };

      const carryOut = async ({ uid }: Tunnel, { boxId, entries }: TunnelPlan["writes"][number]): Promise<boolean> => {
        const owner = ownerOf(uid);
        const text = entries.length === 0 ? `${owner} took its end from ${boxId}` : `${owner} put its end on ${boxId}`;
        const audit = {
          actor: "hub",
          action: "tunnel.place",
          subject: `box/${boxId}`,
          outcome: "done",
          detail: text,
        } as const;
        const event = { kind: "expected.changed", boxId, text };
        const context = { nowMs: clock.wallMs(), audit, event };
        boxesSeen.delete(boxId);
        const { changed } = await store.expected.replace(boxId, { owner, entries }, context);
        boxesSeen.delete(boxId);
        return changed;
      };

      /** In this order: what is left by a hub that dies in between is found by its tunnel. */
      const finish = async (tunnel: Tunnel): Promise<void> => {
        const { uid, wish, revision } = tunnel;
        await ports.release(wish.producer, uid);
        await ports.release(wish.consumer, uid);
        await store.objects.delete(TUNNEL_STATE_KIND, uid, { nowMs: clock.wallMs() });
        const text = `Tunnel ${uid} has ended: ${tunnel.ending?.reason ?? "it was taken down"}`;
        const event = { kind: "tunnel.ended", text, data: { uid } };
        await store.objects.delete(TUNNEL_KIND, uid, { nowMs: clock.wallMs(), expectedRevision: revision, event });
        tunnels.delete(uid);
        dueAtMs.delete(uid);
      };

      const replacePort = async (tunnel: Tunnel, { role, way }: TunnelPlan["busy"][number]): Promise<void> => {
        const boxId = boxOf(tunnel, role);
        const listens = tunnel.ways.map(({ entry, gateway }) => (role === "producer" ? gateway : entry));
        const busy = listens[way];
        const range = (await store.reports.get(boxId))?.report.tunnels?.ports;
        if (busy === undefined || range === undefined) return;
        const chosen = await ports.reserve(boxId, {
          uid: tunnel.uid,
          range,
          // On from the busy one, so that two busy ports are not tried in turn for ever.
          from: busy.port + 1,
          rateMbit: tunnel.wish.rateMbit,
          uplinkMbit: undefined,
          ports: listens.map((listen, index) => ({
            address: listen.address,
            port: index === way ? undefined : listen.port,
            field: `ways[${index}]`,
          })),
        });
        const listen = chosen[way];
        if (listen === undefined) return;
        const ways = tunnel.ways.map((one, index) => {
          if (index !== way) return one;
          return role === "consumer"
            ? { ...one, entry: listen }
            : { ...one, gateway: listen, dial: { ...one.dial, port: listen.port } };
        });
        const text = `Port ${busy.port} of ${boxId} is taken: tunnel ${tunnel.uid} uses ${listen.port}`;
        const body = { ...recordOf(tunnel), ways };
        const write = { kind: TUNNEL_KIND, id: tunnel.uid, body };
        await store.objects.put(write, {
          nowMs: clock.wallMs(),
          expectedRevision: tunnel.revision,
          ...spoken(tunnel, "tunnel.port", text),
        });
      };

      try {
        // It is never ready while the store is away, and a hub must be able to end.
        await Promise.race([presence.ready, untilAborted(signal)]);
        while (!signal.aborted) {
          const woken = new Promise<void>((resolve) => {
            wake = resolve;
          });
          let pauseMs = RENEW_MS;
          try {
            await lap();
            isFailing = false;
          } catch (thrown) {
            if (!isFailing)
              log.warn(`Tunnels cannot be carried out, which is tried until it can: ${messageOf(thrown)}`);
            isFailing = true;
            pauseMs = RETRY_MS;
          }
          const rest = new AbortController();
          const untilDueMs = Math.max(0, Math.min(Number.POSITIVE_INFINITY, ...dueAtMs.values()) - clock.wallMs());
          const pause = clock
            .delay(Math.min(pauseMs, untilDueMs), AbortSignal.any([signal, rest.signal]))
            .catch(() => undefined);
          // While another hub holds the lease, hints are its business; and a store that is away is not asked more often.
          const isIdle = isFailing || (fence === undefined && tunnels.size > 0);
          await Promise.race(isIdle ? [pause] : [pause, woken]);
          rest.abort();
        }
      } finally {
        stopListening();
        if (fence !== undefined) await store.leases.release(LEASE, fence).catch(() => undefined);
      }
    },
  };
}

function spoken({ uid }: Tunnel, kind: string, text: string) {
  const audit = { actor: "hub", action: kind, subject: `tunnel/${uid}`, outcome: "done", detail: text } as const;
  return { audit, event: { kind, text, data: { uid } } };
}

function unlessGone(thrown: unknown): undefined {
  if (thrown instanceof AppError && thrown.code === "not-found") return undefined;
  throw thrown;
}
