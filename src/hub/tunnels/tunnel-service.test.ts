import { isDeepStrictEqual } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
import { AppError } from "../../base/errors.ts";
import type { BoxConnection } from "../../contract/fleet/box-view.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import { createMortalStore } from "../store/mortal-store.fake.ts";
import { NOW } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { TUNNEL_PORTS_KIND } from "./port-book.ts";
import { TUNNEL_KIND, TUNNEL_STATE_KIND, type Tunnel } from "./tunnel-record.ts";
import { readTunnelView } from "./tunnel-view.ts";
import { createFakeBox, type FakeBox, ONLINE, startTunnelHub, wishOf } from "./tunnel-world.fake.ts";

let store: Store;
let clock: FakeClock;
let boxes: FakeBox[];
let hubs: ReturnType<typeof startTunnelHub>[];

beforeEach(async () => {
  let ids = 0;
  store = createMemoryStore({ newId: () => `id-${++ids}` });
  clock = createFakeClock(NOW);
  boxes = [await createFakeBox("north", { store, clock }), await createFakeBox("south", { store, clock })];
  hubs = [];
  await turn();
});

afterEach(async () => {
  for (const hub of hubs) await hub.stop();
});

function startHub(wish: Parameters<typeof startTunnelHub>[2] = {}, over = store) {
  const hub = startTunnelHub(over, clock, wish);
  hubs.push(hub);
  return hub;
}

/** Each box looks and reports, and the hub does what follows. */
async function turn(times = 1, ms = 10): Promise<void> {
  for (let at = 0; at < times; at++) {
    for (const box of boxes) await box.step();
    await clock.advance(ms);
    requireMeeting();
  }
}

/** At every moment each end of a running pair accepts what the other presents. */
function requireMeeting(): void {
  const [north, south] = boxes;
  for (const [uid, one] of north?.loaded ?? []) {
    const other = south?.loaded.get(uid);
    if (other === undefined) continue;
    const [producer, consumer] = one.role === "producer" ? [one, other] : [other, one];
    expect(producer.accepts).toContain(consumer.presents);
    expect(consumer.accepts).toContain(producer.presents);
  }
}

const viewOf = async (tunnel: Tunnel) => {
  const object = await hubs.at(-1)?.maker.get(tunnel.uid);
  return object === undefined ? undefined : readTunnelView(object, store);
};
const idsOf = async (kind: string) => (await store.objects.list(kind, { limit: 100 })).items.map(({ id }) => id);
const leftovers = async () => ({
  tunnels: await idsOf(TUNNEL_KIND),
  states: await idsOf(TUNNEL_STATE_KIND),
  ports: (await store.objects.list(TUNNEL_PORTS_KIND, { limit: 9 })).items.flatMap(({ body }) =>
    Object.keys((body as { tunnels: object }).tunnels),
  ),
  workloads: (await Promise.all(["north", "south"].map((id) => store.expected.get(id).catch(() => undefined)))).flatMap(
    (set) => set?.entries.map(({ workload }) => workload.id) ?? [],
  ),
});
const NOTHING = { tunnels: [], states: [], ports: [], workloads: [] };
const eventsOf = async () => (await store.events.recent(500)).events;

test.each(["cert", "psk"] as const)(
  "a tunnel by %s goes up, changes its keys while it is up, and leaves nothing when it is taken down",
  async (security) => {
    const hub = startHub();
    await clock.advance(10);
    const tunnel = await hub.maker.put("t-1", wishOf({ security, connections: 3 }), { nowMs: clock.wallMs() });
    await turn(3);
    expect(await viewOf(tunnel)).toMatchObject({
      phase: "up",
      steps: [{ phase: "requested" }, { phase: "prepared" }, { phase: "linked" }, { phase: "up" }],
      keys: { generation: 1, isRotating: false },
      ways: [
        {
          entry: "127.0.0.1:20000",
          gateway: "192.0.2.1:20000",
          gatewayListen: "192.0.2.1:20000",
          source: "10.0.0.20:554",
        },
        { entry: "127.0.0.1:20001" },
        { entry: "127.0.0.1:20002" },
      ],
    });
    const settled = (await store.expected.get("north")).revision;
    await turn(20, 1000);
    expect((await store.expected.get("north")).revision).toBe(settled);
    await hub.maker.rotate(await hub.maker.get("t-1"), { nowMs: clock.wallMs() });
    await expect(hub.maker.rotate(await hub.maker.get("t-1"), { nowMs: clock.wallMs() })).rejects.toMatchObject({
      code: "conflict",
    });
    await turn(6);
    expect(await viewOf(tunnel)).toMatchObject({ phase: "up", keys: { generation: 2, isRotating: false } });
    const [only] = boxes.map(({ loaded }) => loaded.get("t-1")?.accepts.length);
    expect(only).toBe(1);
    await hub.maker.end(await hub.maker.get("t-1"), "it was taken down", { nowMs: clock.wallMs() });
    await clock.advance(20);
    expect(await viewOf(tunnel)).toMatchObject({ phase: "ending" });
    expect((await leftovers()).ports).toEqual(["t-1", "t-1"]);
    await turn(3);
    expect(await leftovers()).toEqual(NOTHING);
  },
);

test.each(["cert", "psk"] as const)(
  "by %s: a hub that dies at any write is followed by one that comes to the same",
  async (security) => {
    const neverReady = new Promise<never>(() => undefined);
    let diesAt = 0;
    /** Once the first hub has died, its lease has to run out. */
    const until = async (what: string, fits: () => Promise<boolean>) => {
      for (let at = 0; at < 30; at++) {
        if (await fits()) return;
        await turn(1, at > 8 ? 2500 : 10);
      }
      throw new Error(`${what} was not reached after a death at write ${diesAt}: ${JSON.stringify(await leftovers())}`);
    };
    for (let at = 0, didDie = true; didDie; at++) {
      diesAt = at;
      const mortal = createMortalStore(store, diesAt);
      const uid = `t-${at}`;
      const people = startTunnelHub(store, clock, {
        hubId: `people-${at}`,
        presence: { ...ONLINE, ready: neverReady },
      });
      const now = () => ({ nowMs: clock.wallMs() });
      const read = async () => readTunnelView(await people.maker.get(uid), store);
      await people.maker.put(uid, wishOf({ security }), now());
      const first = startTunnelHub(mortal.store, clock, { hubId: `first-${at}` });
      const second = startTunnelHub(store, clock, { hubId: `second-${at}` });
      await until("up", async () => (await read()).phase === "up");
      await people.maker.rotate(await people.maker.get(uid), now());
      await until("generation 2", async () => (await read()).keys.generation === 2);
      expect((await read()).phase).toBe("up");
      await people.maker.end(await people.maker.get(uid), "over", now());
      await until("nothing", async () => isDeepStrictEqual(await leftovers(), NOTHING));
      didDie = mortal.writes() >= diesAt;
      void first.stop();
      await second.stop();
      void people.stop();
      await store.leases.release("tunnels", (await store.leases.list({ limit: 9 })).items[0]?.fence ?? 0);
    }
  },
  120_000,
);

test("with clocks of boxes a year apart a tunnel lives exactly as long by the hub's clock, and each box is told the end by its own", async () => {
  const year = 366 * 86_400_000;
  boxes = [
    await createFakeBox("early", { store, clock }, { aheadMs: -year }),
    await createFakeBox("late", { store, clock }, { aheadMs: year }),
  ];
  await turn();
  const hub = startHub();
  const wish = wishOf({ producer: "early", consumer: "late", lifetimeSeconds: 100 });
  const tunnel = await hub.maker.put("t-1", wish, { nowMs: clock.wallMs() });
  await turn(4);
  expect(await viewOf(tunnel)).toMatchObject({ phase: "up", endsAt: new Date(tunnel.endsAtMs ?? 0).toISOString() });
  const [early] = (await store.expected.get("early")).entries;
  expect(early?.workload.kind === "tunnel" && Date.parse(early.workload.spec.endsAt ?? "")).toBe(
    (tunnel.endsAtMs ?? 0) - year,
  );
  await turn(70, 1000);
  const kinds = async () => (await eventsOf()).map(({ kind }) => kind);
  expect(await kinds()).not.toContain("tunnel.expiring");
  await turn(20, 1000);
  expect((await kinds()).filter((kind) => kind === "tunnel.expiring")).toHaveLength(1);
  expect(await viewOf(tunnel)).toMatchObject({ phase: "up" });
  await turn(14, 1000);
  expect(await idsOf(TUNNEL_KIND)).toEqual([]);
  expect((await store.expected.get("late")).entries).toEqual([]);
});

test("a box that is forgotten takes its tunnel down on the other, which is over without it", async () => {
  const hub = startHub();
  await hub.maker.put("t-1", wishOf(), { nowMs: clock.wallMs() });
  await turn(4);
  await store.boxes.forget("north", { nowMs: clock.wallMs() });
  await turn(4);
  expect(await leftovers()).toEqual(NOTHING);
  expect((await eventsOf()).map(({ text }) => text)).toContain("Tunnel t-1 has ended: box north was forgotten");
});

test("a revoked box is not waited for", async () => {
  const hub = startHub();
  await hub.maker.put("t-1", wishOf(), { nowMs: clock.wallMs() });
  await turn(4);
  await store.boxes.update("south", { state: "revoked" }, { nowMs: clock.wallMs() });
  boxes = boxes.filter(({ id }) => id !== "south");
  await turn(4);
  expect(await leftovers()).toEqual(NOTHING);
});

test("a busy port of the range is replaced by the next one; one that was asked for is shown and kept", async () => {
  const [north, south] = boxes;
  for (const port of [20_000, 20_001]) north?.busy.add(port);
  south?.busy.add(5100);
  const hub = startHub();
  const tunnel = await hub.maker.put("t-1", wishOf({ entries: [{ port: 5100 }] }), { nowMs: clock.wallMs() });
  await turn(5);
  expect(await viewOf(tunnel)).toMatchObject({
    phase: "requested",
    reason: "south: 127.0.0.1:5100 is taken by nginx",
    ways: [{ entry: "127.0.0.1:5100", gateway: "192.0.2.1:20002" }],
  });
  south?.busy.clear();
  await turn(4);
  expect(await viewOf(tunnel)).toMatchObject({ phase: "up" });
  expect((await store.objects.get(TUNNEL_PORTS_KIND, "north"))?.body).toMatchObject({
    tunnels: { "t-1": { listens: [{ port: 20_002 }] } },
  });
});

test("a box that is not heard is named, and what was up is down until it is heard", async () => {
  let connection: BoxConnection = "online";
  const hub = startHub({
    presence: {
      ...ONLINE,
      of: (boxId) => ({ connection: boxId === "south" ? connection : "online", lastContactMs: NOW }),
    },
  });
  const tunnel = await hub.maker.put("t-1", wishOf(), { nowMs: clock.wallMs() });
  await turn(4);
  connection = "offline";
  await turn(16, 1000);
  expect(await viewOf(tunnel)).toMatchObject({
    phase: "down",
    reason: `south is not heard since ${new Date(NOW).toISOString()}`,
  });
  connection = "online";
  await turn(16, 1000);
  const view = await viewOf(tunnel);
  expect([view?.phase, view?.reason]).toEqual(["up", undefined]);
});

test("a place that a person has on the box is not taken, and said", async () => {
  const hub = startHub();
  const workload = {
    kind: "stream",
    id: "t-1.consumer",
    spec: { input: { url: "rtsp://c/1" }, outputs: [{ url: "rtmp://h/1" }] },
  } as const;
  await store.expected.change(
    "south",
    {
      put: [
        {
          workload: { ...workload, spec: { ...workload.spec, outputs: [...workload.spec.outputs] } },
          desired: "running",
        },
      ],
    },
    { nowMs: NOW },
  );
  const tunnel = await hub.maker.put("t-1", wishOf(), { nowMs: clock.wallMs() });
  await turn(3);
  expect(await viewOf(tunnel)).toMatchObject({
    phase: "down",
    reason: expect.stringContaining("its place is taken by the workload t-1.consumer"),
  });
});

test("a report that tells something new wakes the hub that carries tunnels out, through whichever it came; figures alone do not", async () => {
  const hints: string[] = [];
  store.onHint((hint) => void (hint.kind === "tunnel-facts" && hints.push(hint.boxId)));
  const hub = startHub();
  await hub.maker.put("t-1", wishOf(), { nowMs: clock.wallMs() });
  await turn(5);
  hints.length = 0;
  await turn(5);
  expect(hints).toEqual([]);
  boxes[1]?.busy.add(20_000);
  await turn();
  expect(hints).toContain("south");
});

test("of a hundred tunnels made at once through two hubs no two have a port in common, and one too many is refused", async () => {
  const [one, other] = [startHub({ hubId: "one" }), startHub({ hubId: "other" })];
  const made = Promise.allSettled(
    Array.from({ length: 101 }, (_, at) =>
      (at % 2 === 0 ? one : other).maker.put(`t-${at}`, wishOf(), { nowMs: clock.wallMs() }),
    ),
  );
  await clock.advance(5000);
  const results = await made;
  const tunnels = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const refused = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  expect(tunnels).toHaveLength(100);
  for (const side of ["entry", "gateway"] as const) {
    expect(new Set(tunnels.map(({ ways }) => ways[0]?.[side].port)).size).toBe(100);
  }
  expect(refused[0]).toBeInstanceOf(AppError);
  expect(refused[0].message).toMatch(
    /1 ports are needed from the range 20000-20099 of box (north|south) \(tunnels\.ports\), and 0 are free/,
  );
  const sheet = (await store.objects.get(TUNNEL_PORTS_KIND, "north"))?.body as { tunnels: object };
  expect(Object.keys(sheet.tunnels)).toHaveLength(100);
});
