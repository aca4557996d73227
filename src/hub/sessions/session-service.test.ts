import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
import type { SessionWish } from "../../contract/fleet/session.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import { NOW } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { SESSION_SEATS_KIND } from "./seat-book.ts";
import { SESSION_KIND, SESSION_STATE_KIND } from "./session-record.ts";
import { readSessionView } from "./session-view.ts";
import { createFakeBox, createFakePresence, type FakeBox, startSessionHub, wishOf } from "./session-world.fake.ts";
import { SESSION_USERS_KIND } from "./user-book.ts";

let store: Store;
let clock: FakeClock;
let boxes: FakeBox[];
let presence: ReturnType<typeof createFakePresence>;
let hubs: ReturnType<typeof startSessionHub>[];

beforeEach(async () => {
  let ids = 0;
  store = createMemoryStore({ newId: () => `id-${++ids}` });
  clock = createFakeClock(NOW);
  presence = createFakePresence();
  boxes = [];
  hubs = [];
});

afterEach(async () => {
  for (const hub of hubs) await hub.stop();
});

async function addBox(id: string, wish: Parameters<typeof createFakeBox>[2] = {}): Promise<FakeBox> {
  const box = await createFakeBox(id, { store, clock }, wish);
  boxes.push(box);
  await box.step();
  return box;
}

function startHub(wish: Parameters<typeof startSessionHub>[2] = {}, over = store) {
  const hub = startSessionHub(over, clock, { presence, ...wish });
  hubs.push(hub);
  return hub;
}

/** Each box looks and reports, and the hub does what follows. */
async function turn(times = 1, ms = 600): Promise<void> {
  for (let at = 0; at < times; at++) {
    for (const box of boxes) if (presence.of(box.id).connection === "online") await box.step();
    await clock.advance(ms);
  }
}

const now = () => ({ nowMs: clock.wallMs() });
const viewOf = async (id = "s-1") => {
  const session = await hubs[0]?.maker.find(id);
  return session === undefined ? undefined : readSessionView(session, store);
};
const leftovers = async () => {
  const bodies = async (kind: string) => (await store.objects.list(kind, { limit: 100 })).items;
  const sheets = [...(await bodies(SESSION_SEATS_KIND)), ...(await bodies(SESSION_USERS_KIND))];
  return {
    sessions: (await bodies(SESSION_KIND)).map(({ id }) => id),
    states: (await bodies(SESSION_STATE_KIND)).map(({ id }) => id),
    seats: sheets.flatMap(({ body }) => Object.keys((body as { sessions: object }).sessions)),
    workloads: (await Promise.all(boxes.map(({ id }) => store.expected.get(id).catch(() => undefined)))).flatMap(
      (set) => set?.entries.map(({ workload }) => workload.id) ?? [],
    ),
  };
};
const NOTHING = { sessions: [], states: [], seats: [], workloads: [] };

test("a session is placed, runs, hibernates, wakes with new endpoints, and leaves nothing when it is stopped", async () => {
  const box = await addBox("north");
  const hub = startHub();
  await clock.advance(10);
  await hub.maker.put(wishOf(), now());
  await turn(3);
  const running = await viewOf();
  expect(running).toMatchObject({
    state: "running",
    box: "north",
    placement: { box: "north", reason: "it is the only one that can take it" },
    power: { state: "running", turn: 0 },
  });
  const settled = (await store.expected.get("north")).revision;
  await turn(20, 1000);
  expect((await store.expected.get("north")).revision).toBe(settled);
  await hub.maker.setPower(await hub.maker.get("s-1"), { state: "hibernated", turn: 1 }, now());
  await clock.advance(10);
  expect((await viewOf())?.state).toBe("hibernating");
  await turn(2);
  expect(await viewOf()).toMatchObject({
    state: "hibernated",
    session: { sleep: { depth: "stopped", because: "asked" } },
  });
  expect((await viewOf())?.session?.endpoints).toBeUndefined();
  await hub.maker.setPower(await hub.maker.get("s-1"), { state: "running", turn: 2 }, now());
  await clock.advance(10);
  expect((await viewOf())?.state).toBe("waking");
  await turn(2);
  expect((await viewOf())?.state).toBe("running");
  expect((await viewOf())?.session?.endpoints?.[0]?.url).not.toBe(running?.session?.endpoints?.[0]?.url);
  expect(box.here.get("s-1")?.starts).toBe(2);
  await hub.maker.end(await hub.maker.get("s-1"), { reason: "it was asked to" }, now());
  await clock.advance(20);
  expect((await viewOf())?.state).toBe("stopping");
  await turn(3);
  expect(await leftovers()).toEqual(NOTHING);
});

const put = (wish: Partial<SessionWish> = {}, hub = hubs[0]) => hub?.maker.put(wishOf(wish), now());
const end = async (id = "s-1", volumes?: "keep" | "delete") =>
  hubs[0]?.maker.end(
    await hubs[0].maker.get(id),
    { reason: "over", ...(volumes === undefined ? {} : { volumes }) },
    now(),
  );
const power = async (state: "running" | "hibernated", turnNumber: number, id = "s-1") =>
  hubs[0]?.maker.setPower(await hubs[0].maker.get(id), { state, turn: turnNumber }, now());
const drain = (boxId: string, draining = true) => store.boxes.update(boxId, { draining }, now());
const eventsOf = async () => (await store.events.recent(500)).events;
const offline = (boxId: string) => presence.set(boxId, { connection: "offline", lastContactMs: clock.wallMs() });
const online = (boxId: string) => presence.set(boxId, { connection: "online", lastContactMs: clock.wallMs() });
const awakeOn = (id = "s-1") =>
  boxes.filter(({ here }) => here.has(id) && here.get(id)?.sleep === undefined).map((box) => box.id);

/** However it is moved about, it runs on one box at a time, unless one of them was lost. */
async function turnAlone(times: number, ms = 600): Promise<void> {
  for (let at = 0; at < times; at++) {
    await turn(1, ms);
    expect(awakeOn().length).toBeLessThan(2);
  }
}

test("a session that no box can take waits with the reason of each, and is placed when one can", async () => {
  await addBox("north");
  await drain("north");
  await addBox("south", { facts: { cores: 1 } });
  startHub();
  await put({ resources: { cpu: "2" } });
  await turn(3);
  expect(await viewOf()).toMatchObject({
    state: "unplaced",
    reason: "none of 2 boxes can take it; nearest is south: cpu: 2 are needed, 1 of 1 are free",
    placement: {
      passedOver: [
        { box: "south", reason: "cpu: 2 are needed, 1 of 1 are free" },
        { box: "north", reason: "it is draining" },
      ],
    },
  });
  const { writes } = { writes: (await store.objects.get(SESSION_STATE_KIND, "s-1"))?.revision };
  await turn(10);
  expect((await store.objects.get(SESSION_STATE_KIND, "s-1"))?.revision).toBe(writes);
  await drain("north", false);
  await turn(3);
  expect(await viewOf()).toMatchObject({ state: "running", box: "north" });
});

test("of a hundred sessions made at once through two hubs a box gets as many as it has room for, and the others wait", async () => {
  await addBox("north", { facts: { cores: 4, maxSessions: 30 } });
  await addBox("south", { facts: { cores: 2 } });
  const [one, other] = [startHub({ hubId: "one" }), startHub({ hubId: "other" })];
  const made = Promise.all(
    Array.from({ length: 100 }, (_, at) =>
      put({ id: `s-${at}`, resources: { cpu: "100m" } }, at % 2 === 0 ? one : other),
    ),
  );
  await clock.advance(3000);
  await made;
  await turn(6);
  const states = await Promise.all(Array.from({ length: 100 }, (_, at) => viewOf(`s-${at}`)));
  const on = (boxId: string) => states.filter((view) => view?.box === boxId && view.state === "running").length;
  // North takes thirty, south has processors for twenty.
  expect([on("north"), on("south")]).toEqual([30, 20]);
  expect(states.filter((view) => view?.state === "unplaced")).toHaveLength(50);
  const first = states.find((view) => view?.box === "south");
  await end(first?.id);
  await turn(6);
  const later = await Promise.all(Array.from({ length: 100 }, (_, at) => viewOf(`s-${at}`)));
  expect(later.filter((view) => view?.box === "south" && view.state === "running")).toHaveLength(20);
});

test("drain moves what may move, one box after the other, and says what may not", async () => {
  const north = await addBox("north");
  startHub();
  await put();
  await put({ id: "tied", volumes: [{ name: "data", path: "/data" }] });
  await put({ id: "scratch", volumes: [{ name: "tmp", path: "/tmp", onStop: "delete" }] });
  await put({ id: "named", box: "north" });
  await put({ id: "asleep" });
  await turn(3);
  await power("hibernated", 1, "asleep");
  await turn(2);
  await drain("north");
  await turn(3);
  // There is nowhere to go to: it goes on where it is.
  expect(await viewOf()).toMatchObject({ state: "running", box: "north", reason: "north is draining" });
  await addBox("south");
  await turnAlone(6);
  expect(await viewOf()).toMatchObject({ state: "running", box: "south" });
  expect(await viewOf("scratch")).toMatchObject({ state: "running", box: "south" });
  expect(await viewOf("tied")).toMatchObject({
    state: "running",
    box: "north",
    reason: "north is draining, and it stays: the data of its volume data is there",
  });
  expect(await viewOf("named")).toMatchObject({
    box: "north",
    reason: expect.stringContaining("the wish names that box"),
  });
  expect(await viewOf("asleep")).toMatchObject({ box: "north", reason: expect.stringContaining("it is hibernated") });
  expect([...north.here.keys()].sort()).toEqual(["asleep", "named", "tied"]);
  expect((await eventsOf()).map(({ text }) => text)).toContain(
    "Session s-1 moves from north to south: it is the only one that can take it",
  );
});

test("a session that moves is started only after the old box has let go of it, however long that takes", async () => {
  await addBox("north");
  startHub();
  await put();
  await turn(3);
  const south = await addBox("south");
  // Degraded: it is heard, and takes nothing.
  presence.set("north", { connection: "degraded", lastContactMs: clock.wallMs() });
  await drain("north");
  await turn(20, 5000);
  expect(await viewOf()).toMatchObject({
    state: "pending",
    box: "south",
    reason: "it moves from north, which has not let go of it yet",
  });
  expect(south.here.size).toBe(0);
  online("north");
  await turnAlone(4);
  expect(awakeOn()).toEqual(["south"]);
});

test("a box that says late that it has taken over the set without its last session is asked again soon", async () => {
  const box = await addBox("north");
  startHub();
  await put();
  await turn(3);
  await end();
  await clock.advance(20);
  box.isBehind = true;
  await turn(2);
  expect(box.here.size).toBe(0);
  expect(await viewOf()).toMatchObject({ state: "stopping", reason: "north has not let go of it yet" });
  box.isBehind = false;
  await box.step();
  await clock.advance(1500);
  expect(await leftovers()).toEqual(NOTHING);
});

test("a wish for another box moves it there, its data or not", async () => {
  await addBox("north");
  await addBox("south");
  startHub();
  const volumes = [{ name: "data", path: "/data" }];
  await put({ volumes, box: "north" });
  await turn(3);
  await put({ volumes, box: "south" });
  await turnAlone(5);
  expect(awakeOn()).toEqual(["south"]);
});

test("a box that is lost keeps its session, unless the wish says that it moves; who comes back does not run it twice", async () => {
  const north = await addBox("north");
  startHub();
  await put({ id: "waits" });
  await put({ onLost: "move" });
  await put({ id: "tied", onLost: "move", volumes: [{ name: "data", path: "/data" }] });
  await turn(3);
  await addBox("south");
  offline("north");
  await turn(10, 5000);
  expect(await viewOf("waits")).toMatchObject({
    state: "lost",
    box: "north",
    reason: expect.stringContaining("not heard since"),
  });
  expect(await viewOf()).toMatchObject({ state: "lost", box: "north" });
  await turn(18, 5000);
  expect(await viewOf()).toMatchObject({ state: "running", box: "south" });
  expect((await viewOf("waits"))?.box).toBe("north");
  expect(await viewOf("tied")).toMatchObject({
    box: "north",
    reason: expect.stringContaining("the data of its volume data is there"),
  });
  // It runs there still, and nobody sees it.
  expect(awakeOn()).toEqual(["north", "south"]);
  online("north");
  await turn(4);
  expect(awakeOn()).toEqual(["south"]);
  expect(await viewOf("waits")).toMatchObject({ state: "running", box: "north" });
  expect([...north.here.keys()].sort()).toEqual(["tied", "waits"]);
  const seats = (await store.objects.get(SESSION_SEATS_KIND, "north"))?.body;
  expect(Object.keys((seats as { sessions: object }).sessions).sort()).toEqual(["tied", "waits"]);
});

test("a hub that has just begun to watch takes no box for lost that it could not have heard", async () => {
  await addBox("north");
  await addBox("south");
  const first = startHub();
  await put({ onLost: "move", box: "north" });
  await turn(3);
  await put({ onLost: "move" });
  await turn(1);
  await first.stop();
  presence.set("north", { connection: "offline", lastContactMs: clock.wallMs() });
  await clock.advance(3_600_000);
  startHub({ hubId: "later" });
  await turn(20, 5000);
  expect((await viewOf())?.box).toBe("north");
  await turn(6, 5000);
  expect((await viewOf())?.box).toBe("south");
});

test("a box that is forgotten or revoked is no place for a session any more: it is placed anew, or waits where its box was named", async () => {
  await addBox("north");
  startHub();
  await put();
  await put({ id: "named", box: "north" });
  await turn(3);
  await addBox("south");
  await store.boxes.forget("north", now());
  boxes = boxes.filter(({ id }) => id !== "north");
  await turn(4);
  expect(await viewOf()).toMatchObject({ state: "running", box: "south" });
  expect(await viewOf("named")).toMatchObject({
    state: "unplaced",
    reason: "north cannot take it: there is no such box",
  });
  await store.boxes.update("south", { state: "revoked" }, now());
  boxes = [];
  await turn(4);
  expect(await viewOf()).toMatchObject({ state: "unplaced" });
  await end();
  await end("named");
  await turn(3);
  expect(await leftovers()).toEqual(NOTHING);
});

test("room is counted as sessions sleep and wake: who finds its place taken waits for it, asleep", async () => {
  const north = await addBox("north", { facts: { cores: 2, memoryBytes: 4 * 2 ** 30 } });
  startHub();
  const resources = { cpu: "2", memory: "1Gi" };
  await put({ id: "one", resources, hibernation: "frozen" });
  await put({ id: "two", resources });
  await turn(3);
  expect([(await viewOf("one"))?.state, (await viewOf("two"))?.state]).toEqual(["running", "unplaced"]);
  await power("hibernated", 1, "one");
  await turn(4);
  expect([(await viewOf("one"))?.state, (await viewOf("two"))?.state]).toEqual(["hibernated", "running"]);
  expect((await store.objects.get(SESSION_SEATS_KIND, "north"))?.body).toMatchObject({
    sessions: { one: { millicores: 0, memoryBytes: 2 ** 30 }, two: { millicores: 2000 } },
  });
  await power("running", 2, "one");
  await turn(3);
  expect(await viewOf("one")).toMatchObject({
    state: "waking",
    reason: "it waits for room on north: cpu: 2 are needed, 0 of 2 are free",
  });
  expect(north.here.get("one")?.sleep).toBeDefined();
  await end("two");
  await turn(4);
  expect((await viewOf("one"))?.state).toBe("running");
});

test("a session that nothing uses sleeps, however often the same wish is told, until a person wakes it", async () => {
  const north = await addBox("north");
  startHub();
  await put({ idleTimeout: "1m" });
  await turn(3);
  north.unused.add("s-1");
  await turn(20, 5000);
  expect(await viewOf()).toMatchObject({
    state: "hibernated",
    reason: "nothing used it, so it went to sleep",
    power: { state: "running", turn: 0 },
  });
  await put({ idleTimeout: "1m", name: "Renamed" });
  await turn(2);
  expect((await viewOf())?.state).toBe("hibernated");
  await power("running", 1);
  await turn(2);
  expect((await viewOf())?.state).toBe("running");
});

test("who refuses, and who has done its work, are told as their box tells them", async () => {
  const north = await addBox("north");
  north.refuses.set("s-1", "policy.images does not allow web:1");
  startHub();
  await put();
  await put({ id: "job", restart: "never" });
  await turn(3);
  north.over.add("job");
  await turn(2);
  expect(await viewOf()).toMatchObject({ state: "refused", reason: "policy.images does not allow web:1" });
  expect((await viewOf("job"))?.state).toBe("ended");
});

const placedOn = async () =>
  (await eventsOf()).flatMap(({ kind, data }) => (kind === "session.placed" ? [(data as { to: string }).to] : []));

test("a session that its box refuses is tried on another, which is told why, and does not come back when its box is started anew", async () => {
  const north = await addBox("north");
  await addBox("south");
  north.refuses.set("s-1", "policy.images does not allow web:1");
  startHub();
  // Nothing of it has run there, so there is no data to stay for.
  await put({ volumes: [{ name: "data", path: "/data" }] });
  await turnAlone(8);
  expect(await viewOf()).toMatchObject({
    state: "running",
    box: "south",
    placement: {
      box: "south",
      passedOver: [{ box: "north", reason: "it refused it: policy.images does not allow web:1" }],
    },
  });
  expect(north.here.size).toBe(0);
  north.refuses.clear();
  north.run = "started anew";
  await turnAlone(8);
  expect(await placedOn()).toEqual(["north", "south"]);
});

test("a session that all boxes refuse goes round once, and again where an agent was started anew or its form is another", async () => {
  const all = [await addBox("east"), await addBox("north"), await addBox("south")];
  for (const box of all) box.refuses.set("s-1", `not on ${box.id}`);
  startHub();
  await put();
  await turn(30);
  expect(await viewOf()).toMatchObject({ state: "refused", box: "south", reason: "not on south" });
  expect(await placedOn()).toEqual(["east", "north", "south"]);
  const north = all[1];
  north?.refuses.clear();
  await turn(10);
  expect((await viewOf())?.box).toBe("south");
  if (north !== undefined) north.run = "started anew";
  await turnAlone(8);
  expect(await viewOf()).toMatchObject({ state: "running", box: "north" });
  all[0]?.refuses.clear();
  north?.refuses.set("s-1", "not on north");
  await put({ template: { image: "web:2" } });
  await turnAlone(8);
  expect(await viewOf()).toMatchObject({ state: "running", box: "east" });
  expect(await placedOn()).toEqual(["east", "north", "south", "north", "east"]);
});

test("a session stays with a box that refuses it where the wish names that box, or its data is there", async () => {
  const north = await addBox("north");
  startHub();
  await put({ id: "named", box: "north" });
  await put({ id: "tied", volumes: [{ name: "data", path: "/data" }] });
  await turn(3);
  await addBox("south");
  for (const id of ["named", "tied"]) north.refuses.set(id, "policy.images allows nothing");
  await turn(8);
  expect(await viewOf("named")).toMatchObject({ box: "north", reason: "policy.images allows nothing" });
  expect(await viewOf("tied")).toMatchObject({
    state: "refused",
    box: "north",
    reason: "it stays: the data of its volume data is there; policy.images allows nothing",
  });
});

test("where its volumes are to fare otherwise than its spec says, its box is told so before it is taken away", async () => {
  await addBox("north");
  startHub();
  await put({ volumes: [{ name: "data", path: "/data" }] });
  await turn(3);
  await end("s-1", "delete");
  await clock.advance(20);
  const [entry] = (await store.expected.get("north")).entries;
  expect(entry?.workload).toMatchObject({
    power: { state: "hibernated", turn: 1 },
    spec: { volumes: [{ name: "data", onStop: "delete" }] },
  });
  offline("north");
  await turn(20, 1000);
  expect((await store.expected.get("north")).entries).toHaveLength(1);
  online("north");
  await turn(4);
  expect(await leftovers()).toEqual(NOTHING);
});

test("nobody has more sessions than they may, however many are made at once, and the numbers are named", async () => {
  const [one, other] = [startHub({ sessionsPerUser: 3 }), startHub({ hubId: "other", sessionsPerUser: 3 })];
  const made = Promise.allSettled(
    Array.from({ length: 10 }, (_, at) => put({ id: `s-${at}` }, at % 2 === 0 ? one : other)),
  );
  await clock.advance(1000);
  const results = await made;
  const refused = results.flatMap((result) => (result.status === "rejected" ? [String(result.reason.message)] : []));
  expect(refused).toEqual(Array(7).fill("user: given ann, who has 3 sessions; allowed: 3 (sessions.perUser)"));
  await put({ id: "bob-1", user: "bob" });
  const mine = results.findIndex(({ status }) => status === "fulfilled");
  await put({ id: `s-${mine}`, user: "bob" });
  await put({ id: "s-new" });
  await end("s-new");
  await turn(2);
  await put({ id: "s-newer" });
});
