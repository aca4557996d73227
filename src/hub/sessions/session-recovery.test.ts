import { isDeepStrictEqual } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
import type { SessionWish } from "../../contract/fleet/session.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import { createMortalStore } from "../store/mortal-store.fake.ts";
import { NOW } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { SESSION_SEATS_KIND } from "./seat-book.ts";
import { firstProgress, SESSION_KIND, SESSION_STATE_KIND } from "./session-record.ts";
import { readSessionView } from "./session-view.ts";
import { createFakeBox, type FakeBox, startSessionHub, wishOf } from "./session-world.fake.ts";
import { SESSION_USERS_KIND } from "./user-book.ts";

let store: Store;
let clock: FakeClock;
let boxes: FakeBox[];
let hubs: ReturnType<typeof startSessionHub>[];
let ids = 0;

const newStore = () => createMemoryStore({ newId: () => `id-${++ids}` });

beforeEach(async () => {
  store = newStore();
  clock = createFakeClock(NOW);
  boxes = [await createFakeBox("north", { store, clock }), await createFakeBox("south", { store, clock })];
  hubs = [];
  for (const box of boxes) await box.step();
});

afterEach(async () => {
  for (const hub of hubs) await hub.stop();
});

function startHub(wish: Parameters<typeof startSessionHub>[2] = {}, over = store) {
  const hub = startSessionHub(over, clock, wish);
  hubs.push(hub);
  return hub;
}

const awakeOn = (id: string) =>
  boxes.filter(({ here }) => here.has(id) && here.get(id)?.sleep === undefined).map((box) => box.id);

async function turn(times = 1, ms = 600): Promise<void> {
  for (let at = 0; at < times; at++) {
    for (const box of boxes) await box.step();
    await clock.advance(ms);
  }
}

const now = () => ({ nowMs: clock.wallMs() });
const viewOf = async (id = "s-1", over = store) => {
  const session = await hubs.at(-1)?.maker.find(id);
  return session === undefined ? undefined : readSessionView(session, over);
};
const leftovers = async () => {
  const items = async (kind: string) => (await store.objects.list(kind, { limit: 100 })).items;
  const sheets = [...(await items(SESSION_SEATS_KIND)), ...(await items(SESSION_USERS_KIND))];
  return {
    sessions: (await items(SESSION_KIND)).map(({ id }) => id),
    states: (await items(SESSION_STATE_KIND)).map(({ id }) => id),
    seats: sheets.flatMap(({ body }) => Object.keys((body as { sessions: object }).sessions)),
    workloads: (await Promise.all(boxes.map(({ id }) => store.expected.get(id)))).flatMap(({ entries }) =>
      entries.map(({ workload }) => workload.id),
    ),
    here: boxes.flatMap(({ here }) => [...here.keys()]),
  };
};
const NOTHING = { sessions: [], states: [], seats: [], workloads: [], here: [] };
const actions = async (over = store) =>
  (await over.audit.list({}, { limit: 100 })).items.map(({ action, subject }) => `${action} ${subject}`);

test("a hub that dies at any write is followed by one that comes to the same, and never runs a session twice", async () => {
  const neverReady = new Promise<never>(() => undefined);
  let diesAt = 0;
  /** Once the first hub has died, its lease has to run out. */
  const until = async (what: string, id: string, fits: () => Promise<boolean>) => {
    for (let at = 0; at < 40; at++) {
      if (await fits()) return;
      await turn(1, at > 8 ? 2500 : 600);
      expect(awakeOn(id).length).toBeLessThan(2);
    }
    throw new Error(`${what} was not reached after a death at write ${diesAt}: ${JSON.stringify(await leftovers())}`);
  };
  let deaths = 0;
  for (let at = 0, didDie = true; didDie; at++) {
    diesAt = at;
    const mortal = createMortalStore(store, diesAt);
    const id = `s-${at}`;
    const presence = { of: () => ({ connection: "online", lastContactMs: 0 }) as const, onChange: () => undefined };
    const people = startSessionHub(store, clock, {
      hubId: `people-${at}`,
      presence: { ...presence, ready: neverReady },
    });
    const read = async () => readSessionView(await people.maker.get(id), store);
    await people.maker.put(wishOf({ id }), now());
    const first = startSessionHub(mortal.store, clock, { hubId: `first-${at}`, isHeard: false });
    const second = startSessionHub(store, clock, { hubId: `second-${at}` });
    const runs = (boxId: string) => async () => {
      const { state, box } = await read();
      return state === "running" && box === boxId && isDeepStrictEqual(awakeOn(id), [boxId]);
    };
    await until("north", id, runs("north"));
    const set = async (state: "running" | "hibernated", turnNumber: number) =>
      people.maker.setPower(await people.maker.get(id), { state, turn: turnNumber }, now());
    await set("hibernated", 1);
    await until("sleep", id, async () => (await read()).state === "hibernated");
    await set("running", 2);
    await until("north again", id, runs("north"));
    await store.boxes.update("north", { draining: true }, now());
    await until("south", id, runs("south"));
    await store.boxes.update("north", { draining: false }, now());
    await people.maker.end(await people.maker.get(id), { reason: "over" }, now());
    await until("nothing", id, async () => isDeepStrictEqual(await leftovers(), NOTHING));
    didDie = mortal.writes() >= diesAt;
    if (didDie) deaths++;
    void first.stop();
    await second.stop();
    void people.stop();
    await store.leases.release("sessions", (await store.leases.list({ limit: 9 })).items[0]?.fence ?? 0);
  }
  expect(deaths).toBeGreaterThan(15);
}, 120_000);

/** The same boxes, and another memory that knows them: a backup that was put back. */
async function restored(sessions: (over: Store) => Promise<unknown> = async () => undefined): Promise<Store> {
  for (const hub of hubs.splice(0)) await hub.stop();
  const other = newStore();
  const before = boxes;
  boxes = await Promise.all(
    before.map(async (box) => {
      const again = await createFakeBox(box.id, { store: other, clock });
      for (const [id, held] of box.here) again.here.set(id, held);
      return again;
    }),
  );
  await sessions(other);
  store = other;
  return other;
}

/** What people want is written, and nobody carries it out. */
async function makerOf(over: Store) {
  const { maker, stop } = startSessionHub(over, clock, { isHeard: false });
  await stop();
  return maker;
}

const begin = async (wish: Partial<SessionWish> = {}) => {
  const hub = startHub();
  await hub.maker.put(wishOf(wish), now());
  await turn(3);
  return hub;
};

test("a session that a restored hub does not know goes on running, and is taken up as its box tells it", async () => {
  const hub = await begin({
    name: "Lobby",
    resources: { cpu: "1", memory: "1Gi" },
    template: { image: "web:1", env: { DB_PASSWORD: "s3cret" } },
  });
  await hub.maker.setPower(await hub.maker.get("s-1"), { state: "hibernated", turn: 1 }, now());
  await turn(2);
  await hub.maker.setPower(await hub.maker.get("s-1"), { state: "running", turn: 2 }, now());
  await turn(2);
  const starts = boxes[0]?.here.get("s-1")?.starts;
  const other = await restored();
  startHub();
  await turn(4);
  expect(await viewOf()).toMatchObject({
    state: "running",
    box: "north",
    name: "Lobby",
    power: { state: "running", turn: 2 },
    wish: { box: "north", resources: { cpu: "1", memory: "1Gi" } },
  });
  expect(JSON.stringify(await viewOf())).not.toContain("s3cret");
  expect(boxes[0]?.here.get("s-1")?.workload.spec.template.env).toEqual({ DB_PASSWORD: "s3cret" });
  expect(boxes[0]?.here.get("s-1")?.starts).toBe(starts);
  expect(await actions(other)).toContain("session.recovered session/s-1");
  expect((await store.objects.get(SESSION_SEATS_KIND, "north"))?.body).toMatchObject({
    sessions: { "s-1": { millicores: 1000 } },
  });
  await hubs[0]?.maker.end(await hubs[0].maker.get("s-1"), { reason: "over" }, now());
  await turn(4);
  expect(await leftovers()).toEqual(NOTHING);
});

test("a session that a restored hub has somewhere else, or nowhere, stays where it runs", async () => {
  await begin();
  await store.boxes.update("north", { draining: true }, now());
  await turn(4);
  expect(awakeOn("s-1")).toEqual(["south"]);
  const starts = boxes[1]?.here.get("s-1")?.starts;
  // From before it was placed at all.
  await restored(async (over) => (await makerOf(over)).put(wishOf(), now()));
  for (const box of boxes) await box.step();
  startHub();
  await turn(6);
  expect(awakeOn("s-1")).toEqual(["south"]);
  expect(boxes[1]?.here.get("s-1")?.starts).toBe(starts);
  expect(await viewOf()).toMatchObject({
    state: "running",
    box: "south",
    placement: { reason: "it runs there already" },
  });
});

test("a session that runs where it does not belong is ended there, without being told more than its box knew", async () => {
  await begin({ box: "south", template: { image: "old:1", env: { DB_PASSWORD: "old" } } });
  await restored(async (over) => {
    const wish = wishOf({ box: "north", template: { image: "new:1", env: { DB_PASSWORD: "new" } } });
    await (await makerOf(over)).put(wish, now());
  });
  startHub();
  const told: string[] = [];
  for (let at = 0; at < 12; at++) {
    await turn(1);
    told.push(JSON.stringify((await store.expected.get("south")).entries));
  }
  expect(awakeOn("s-1")).toEqual(["north"]);
  expect(boxes[1]?.here.size).toBe(0);
  expect((await store.expected.get("south")).entries).toEqual([]);
  expect(told.some((text) => text.includes("old:1"))).toBe(true);
  expect(told.join("")).not.toContain("new");
  expect(await actions()).toContain("session.found session/s-1");
});

test("a session that a restored hub had stopped already is ended on its box too", async () => {
  await begin();
  await restored(async (over) => {
    const maker = await makerOf(over);
    const session = await maker.put(wishOf(), now());
    const body = { ...firstProgress(session), box: "north" };
    await over.objects.put({ kind: SESSION_STATE_KIND, id: "s-1", body }, now());
    await maker.end(session, { reason: "it was asked to" }, now());
  });
  for (const box of boxes) await box.step();
  startHub();
  await turn(8);
  expect(await leftovers()).toEqual(NOTHING);
});

test("a restored hub that remembers an earlier wish takes the later one from the box", async () => {
  const hub = await begin();
  await hub.maker.setPower(await hub.maker.get("s-1"), { state: "hibernated", turn: 5 }, now());
  await turn(3);
  await restored(async (over) => (await makerOf(over)).put(wishOf({ box: "north" }), now()));
  for (const box of boxes) await box.step();
  startHub();
  await turn(6);
  expect(await viewOf()).toMatchObject({ state: "hibernated", power: { state: "hibernated", turn: 5 } });
  expect(awakeOn("s-1")).toEqual([]);
});

test("what a box tells that makes no session is logged, and makes none", async () => {
  const [north] = boxes;
  const hub = startHub();
  const workload = { kind: "session", id: "s-1", spec: { user: "ann", template: {} } } as const;
  north?.here.set("Not_An_Id", {
    workload: { ...workload, id: "Not_An_Id" },
    epoch: "another",
    sleep: undefined,
    starts: 1,
  });
  await turn(3);
  expect((await leftovers()).sessions).toEqual([]);
  expect(hub.log.lines.join("\n")).toContain("tells of it what cannot be understood");
});
