import { afterEach, beforeEach, expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
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
