import { AppError } from "../../base/errors.ts";
import { isSameJson } from "../../base/same-json.ts";
import type { TunnelRole } from "../../contract/tunnel-spec.ts";
import type { HubContext } from "../hub-context.ts";
import type { Presence } from "../life/presence.ts";
import { identityOf } from "./plan-keys.ts";
import { type EndFacts, planTunnel, type TunnelPlan } from "./plan-tunnel.ts";
import type { PortBook } from "./port-book.ts";
import { sealSharedKey } from "./shared-key.ts";
import type { TunnelMaker } from "./tunnel-maker.ts";
import { boxOf, ownerOf, recordOf, TUNNEL_KIND, TUNNEL_STATE_KIND, type Tunnel, toState } from "./tunnel-record.ts";

/** Reads what is there of one tunnel, plans, and writes the difference. */
export interface TunnelSteps {
  /**
   * One step. Rejects with `conflict` or `not-found` where someone was quicker, and with the store's error; whatever it had
   * written by then the next step finds.
   */
  take(tunnel: Tunnel): Promise<TunnelStep>;
  /** What was read of boxes is not trusted any longer: once a lap, so that a hundred tunnels between two boxes are two boxes. */
  forgetBoxes(): void;
}

export interface TunnelStep {
  /** Something was written, so that another step may be due. */
  readonly mayGoOn: boolean;
  /** Wall time at which something is due without any word from outside. */
  readonly dueMs: number | undefined;
}

export interface TunnelStepsDeps {
  readonly context: Pick<HubContext, "store" | "clock" | "secrets">;
  readonly presence: Pick<Presence, "of">;
  readonly ports: PortBook;
  readonly maker: TunnelMaker;
}

type BoxFacts = Pick<EndFacts, "box" | "report" | "set">;

export function createTunnelSteps({ context, presence, ports, maker }: TunnelStepsDeps): TunnelSteps {
  const { store, clock, secrets } = context;
  const boxesSeen = new Map<string, Promise<BoxFacts>>();

  const take = async (tunnel: Tunnel): Promise<TunnelStep> => {
    const { uid } = tunnel;
    if (await sealKeys(tunnel)) return { mayGoOn: true, dueMs: undefined };
    const [held, producer, consumer] = await Promise.all([
      store.objects.get(TUNNEL_STATE_KIND, uid),
      readEnd(tunnel, "producer"),
      readEnd(tunnel, "consumer"),
    ]);
    const nowMs = clock.wallMs();
    const state = toState(held, tunnel);
    const plan = planTunnel(tunnel, state, { producer, consumer, nowMs });
    const { dueMs } = plan;
    let isWritten = false;
    if (state === undefined || !isSameJson(plan.state, state)) {
      const object = { kind: TUNNEL_STATE_KIND, id: uid, body: plan.state };
      await store.objects.put(object, { nowMs, expectedRevision: held?.revision ?? 0, event: plan.event });
      isWritten = true;
    }
    if (plan.end !== undefined) {
      await maker.end(tunnel, plan.end, {
        nowMs,
        ...spoken(tunnel, "tunnel.end", `Tunnel ${uid} ends: ${plan.end}`),
      });
      return { mayGoOn: true, dueMs };
    }
    const changes = await Promise.all(plan.writes.map((write) => carryOut(tunnel, write)));
    if (plan.isOver) {
      await finish(tunnel);
      return { mayGoOn: false, dueMs: undefined };
    }
    for (const busy of plan.busy) await replacePort(tunnel, busy);
    return { mayGoOn: isWritten || changes.includes(true) || plan.busy.length > 0, dueMs };
  };

  /** Seals what an earlier release has left as it is. What the boxes should run follows, with the same keys. */
  const sealKeys = async (tunnel: Tunnel): Promise<boolean> => {
    const { uid, sharedKeys = [] } = tunnel;
    const sealed = sharedKeys.map(({ generation, secret }) => ({
      generation,
      secret: sealSharedKey(secrets, identityOf(uid, generation), secret),
    }));
    if (isSameJson(sealed, sharedKeys)) return false;
    const body = { ...recordOf(tunnel), sharedKeys: sealed };
    const audit = { actor: "hub", action: "tunnel.encrypt", subject: `tunnel/${uid}`, outcome: "done" } as const;
    const context = { nowMs: clock.wallMs(), expectedRevision: tunnel.revision, audit };
    await store.objects.put({ kind: TUNNEL_KIND, id: uid, body }, context);
    return true;
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

  return { take, forgetBoxes: () => boxesSeen.clear() };
}

function spoken({ uid }: Tunnel, kind: string, text: string) {
  const audit = { actor: "hub", action: kind, subject: `tunnel/${uid}`, outcome: "done", detail: text } as const;
  return { audit, event: { kind, text, data: { uid } } };
}

function unlessGone(thrown: unknown): undefined {
  if (thrown instanceof AppError && thrown.code === "not-found") return undefined;
  throw thrown;
}
