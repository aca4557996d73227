import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import { enrol, NOW, stream } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { storeUnavailable } from "../store/store-error.ts";
import { ROLLOUT_KIND, ROLLOUT_STATUS_KIND } from "./rollout-objects.ts";
import { createRolloutService } from "./rollout-service.ts";

let ids = 0;
const TEMPLATE = { kind: "stream", id: "door", spec: { input: "rtsp://cam/1", outputs: ["rtmp://h/live/{{box.id}}"] } };

function run(store: Store, hubId: string, clock: ReturnType<typeof createFakeClock>) {
  const stop = new AbortController();
  const context = {
    hubId,
    version: "0",
    store,
    clock,
    random: () => 0.5,
    log: createMemoryLog(),
    newSecret: () => "secret",
    secrets: undefined,
    life: stop.signal,
  };
  const done = createRolloutService(context).run(stop.signal);
  return {
    log: context.log,
    stop: async () => {
      stop.abort();
      await done;
    },
  };
}

async function newStore(): Promise<Store> {
  const store = createMemoryStore({ newId: () => `id-${++ids}` });
  await enrol(store, "b-1", { site: "north" });
  const body = { selector: "site=north", template: TEMPLATE, enabled: true };
  await store.objects.put({ kind: ROLLOUT_KIND, id: "doors", body }, { nowMs: NOW });
  return store;
}

const entriesOf = async (store: Store, box: string) => (await store.expected.get(box)).entries.length;
const holderOf = async (store: Store) => (await store.leases.list({ limit: 10 })).items[0]?.holder;

test("of two hubs one carries rollouts out; when it ends the other goes on", async () => {
  const store = await newStore();
  const clock = createFakeClock(NOW);
  const first = run(store, "hub-1", clock);
  await clock.advance(100);
  const second = run(store, "hub-2", clock);
  await clock.advance(100);
  expect(await entriesOf(store, "b-1")).toBe(1);
  expect(await holderOf(store)).toBe("hub-1");
  await first.stop();
  await enrol(store, "b-2", { site: "north" });
  await clock.advance(6000);
  expect([await holderOf(store), await entriesOf(store, "b-2")]).toEqual(["hub-2", 1]);
  await second.stop();
});

test("a hub that dies with the lease is followed once the lease has run out", async () => {
  const store = await newStore();
  const clock = createFakeClock(NOW);
  await store.leases.acquire("rollouts", { holder: "dead", ttlMs: 15_000, nowMs: NOW });
  const hub = run(store, "hub-2", clock);
  await clock.advance(14_000);
  expect(await entriesOf(store, "b-1")).toBe(0);
  await clock.advance(6000);
  expect(await entriesOf(store, "b-1")).toBe(1);
  await hub.stop();
});

test("a store that is away is waited for, and nothing is forgotten meanwhile", async () => {
  const whole = await newStore();
  const clock = createFakeClock(NOW);
  let isAway = true;
  const settle: Store["expected"]["settle"] = (...asked) =>
    isAway ? Promise.reject(storeUnavailable("gone")) : whole.expected.settle(...asked);
  const hub = run({ ...whole, expected: { ...whole.expected, settle } }, "hub-1", clock);
  await clock.advance(3500);
  expect(hub.log.lines).toEqual(["[WARN] Rollouts cannot be carried out, which is tried until it can: gone"]);
  isAway = false;
  await clock.advance(2000);
  expect(await entriesOf(whole, "b-1")).toBe(1);
  await hub.stop();
});

test("a box that comes or changes is looked at alone, at once, and a settled fleet costs no write", async () => {
  const store = await newStore();
  const clock = createFakeClock(NOW);
  let looks = 0;
  const settle: Store["expected"]["settle"] = (boxIds, ...asked) => {
    looks += boxIds.length;
    return store.expected.settle(boxIds, ...asked);
  };
  const hub = run({ ...store, expected: { ...store.expected, settle } }, "hub-1", clock);
  for (const id of ["b-2", "b-3", "b-4"]) await enrol(store, id, { site: "north" });
  await clock.advance(100);
  const { revision } = await store.expected.get("b-1");
  looks = 0;
  await store.boxes.update("b-3", { labels: { site: "south" } }, { nowMs: NOW });
  await clock.advance(10);
  expect(await entriesOf(store, "b-3")).toBe(0);
  // Once for the change of its labels, once for the change of its set.
  expect(looks).toBeLessThanOrEqual(2);
  looks = 0;
  await clock.advance(60_000);
  expect([looks, (await store.expected.get("b-1")).revision]).toEqual([0, revision]);
  await hub.stop();
});

test("a rollout looks at each box once, and again at one that somebody else has changed", async () => {
  const store = await newStore();
  for (const id of ["b-2", "b-3"]) await enrol(store, id, { site: "north" });
  const looked: string[] = [];
  const counted: Store = {
    ...store,
    expected: {
      ...store.expected,
      settle: (boxIds, plan, nowMs) => {
        looked.push(...boxIds);
        return store.expected.settle(boxIds, plan, nowMs);
      },
    },
  };
  const clock = createFakeClock(NOW);
  const hub = run(counted, "hub-1", clock);
  await clock.advance(6000);
  expect(looked).toEqual(["b-1", "b-2", "b-3"]);
  await store.expected.change("b-2", { put: [stream("mine")] }, { nowMs: NOW });
  await clock.advance(6000);
  expect(looked).toEqual(["b-1", "b-2", "b-3", "b-2"]);
  await hub.stop();
});

test("boxes are settled in steps, a few at a time, all of them once, and others have their turn in between", async () => {
  const store = await newStore();
  for (let n = 0; n < 2400; n++) await enrol(store, `c-${n}`, { site: "north" });
  const steps: number[] = [];
  let running = 0;
  let most = 0;
  const counted: Store = {
    ...store,
    expected: {
      ...store.expected,
      settle: async (boxIds, plan, nowMs) => {
        steps.push(boxIds.length);
        most = Math.max(most, ++running);
        const settled = await store.expected.settle(boxIds, plan, nowMs);
        running--;
        return settled;
      },
    },
  };
  const clock = createFakeClock(NOW);
  const hub = run(counted, "hub-1", clock);
  await expect
    .poll(async () => {
      await clock.advance(100);
      return (await store.objects.get(ROLLOUT_STATUS_KIND, "doors"))?.body;
    })
    .toMatchObject({ matching: 2401, placed: 2401 });
  expect([steps.reduce((sum, count) => sum + count, 0), steps.length, most]).toEqual([2401, 10, 4]);
  await hub.stop();
});
