import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog } from "../../base/log.ts";
import type { Workload } from "../../contract/workload.ts";
import { createExpectedStore, type ExpectedDocument } from "./expected-store.ts";

const stream = (id: string): Workload => ({
  kind: "stream",
  id,
  spec: { input: { url: "test://bars" }, outputs: [{ url: `rtmp://host/live/${id}` }] },
});
const whole = (revision: number, ids: readonly string[]) =>
  ({ kind: "snapshot", epoch: "e", revision, workloads: ids.map(stream), rejected: [], confirm: false }) as const;

function createWorld(loaded?: ExpectedDocument, running: readonly string[] = []) {
  const clock = createFakeClock();
  const log = createMemoryLog();
  const saved: ExpectedDocument[] = [];
  const order: string[] = [];
  const store = createExpectedStore({ shrinkHoldMs: 60_000 }, loaded, {
    clock,
    log,
    running: () => new Set(running),
    save: async (document) => {
      order.push("save");
      saved.push(document);
    },
    onPut: () => void order.push("put"),
    onChange: () => void order.push("change"),
  });
  const ids = () => [...store.state().workloads.keys()].sort();
  return { clock, log, saved, store, order, ids };
}

test("an event is known to the redactor first, wakes the reconciler next and is stored last", async () => {
  const world = createWorld();
  await world.store.apply(whole(1, ["a"]), "e.1");
  expect(world.order).toEqual(["put", "change", "save"]);
  expect(world.saved.at(-1)).toMatchObject({ epoch: "e", revision: 1, lastEventId: "e.1" });
  expect(world.store.cursor()).toBe("e.1");
});

test("an event that cannot be applied moves nothing", async () => {
  const world = createWorld();
  await world.store.apply(whole(1, ["a"]), "e.1");
  const change = { kind: "change", epoch: undefined, revision: 9, put: [], remove: ["a"], rejected: [] } as const;
  expect((await world.store.apply(change, "e.9")).needsSnapshot).toBeDefined();
  expect(world.store.cursor()).toBe("e.1");
  expect(world.ids()).toEqual(["a"]);
});

test("held removals happen when their time comes and are stored", async () => {
  const world = createWorld(undefined, ["a", "b", "c"]);
  await world.store.apply(whole(1, ["a", "b", "c"]), "e.1");
  await world.store.apply(whole(2, []), "e.2");
  await world.clock.advance(59_000);
  expect(world.ids()).toEqual(["a", "b", "c"]);
  await world.clock.advance(2000);
  expect(world.ids()).toEqual([]);
  expect(world.saved.at(-1)).toMatchObject({ workloads: [], revision: 2 });
});

test("a hold survives a restart of the agent", async () => {
  const before = createWorld(undefined, ["a", "b", "c"]);
  await before.store.apply(whole(1, ["a", "b", "c"]), "e.1");
  await before.store.apply(whole(2, []), "e.2");
  const world = createWorld(before.saved.at(-1));
  expect(world.ids()).toEqual(["a", "b", "c"]);
  await world.clock.advance(60_000);
  expect(world.ids()).toEqual([]);
});

test("what the hub forgot is kept across a restart of the agent, and what it forgot to have stopped stays stopped", async () => {
  const session = (id: string): Workload => ({
    kind: "session",
    id,
    spec: { user: "anna", template: { image: "nginx:1" } },
  });
  const named = (epoch: string, revision: number, ids: readonly string[]) =>
    ({ ...whole(revision, []), epoch, workloads: ids.map(session) }) as const;
  const before = createWorld();
  await before.store.apply(named("e1", 1, ["kept", "stopped"]), "e1.1");
  await before.store.apply(named("e1", 2, ["kept"]), "e1.2");
  await before.store.apply(named("e2", 1, ["stopped"]), "e2.1");
  const parsed: unknown = JSON.parse(JSON.stringify(before.saved.at(-1)));
  expect(parsed).toMatchObject({
    sessions: { unclaimed: ["kept"], withheld: ["stopped"], stopped: [["stopped", 0]] },
  });
  const world = createWorld(before.saved.at(-1));
  expect(world.ids()).toEqual(["kept", "stopped"]);
  expect([...world.store.state().sessions.withheld]).toEqual(["stopped"]);
  world.order.length = 0;
  await world.store.apply(named("e2", 2, ["kept", "stopped"]), "e2.2");
  // The set is the same; who expects it is not, and a report has to say that.
  expect(world.order).toEqual(["put", "change", "save"]);
  expect([...world.store.state().sessions.unclaimed]).toEqual([]);
  expect(await world.store.endUnclaimed("kept")).toBe(false);
});

test("an empty id resets the cursor, an absent one leaves it", async () => {
  const world = createWorld();
  await world.store.apply(whole(1, ["a"]), "e.1");
  await world.store.apply({ kind: "stop", workloadId: "a" }, undefined);
  expect(world.store.cursor()).toBe("e.1");
  await world.store.moveCursor("");
  expect(world.store.cursor()).toBeUndefined();
});

test("the same set told again wakes nobody", async () => {
  const world = createWorld();
  await world.store.apply(whole(1, ["a", "b"]), "e.1");
  world.order.length = 0;
  await world.store.apply(whole(2, ["b", "a"]), "e.2");
  expect(world.order).toEqual(["put", "save"]);
  expect(world.saved.at(-1)).toMatchObject({ revision: 2, lastEventId: "e.2" });
});

test("the set is confirmed by the server's whole set, or by its silence after it was reached", async () => {
  const told = createWorld({ workloads: [] });
  expect(told.store.isConfirmed()).toBe(false);
  const heard: string[] = [];
  void told.store.confirmed.then(() => heard.push("told"));
  await told.store.apply(whole(1, []), "e.1");
  expect(heard).toEqual(["told"]);
  expect(told.store.isConfirmed()).toBe(true);
  expect(told.order.filter((step) => step !== "put")).toEqual(["change", "save"]);

  const silent = createWorld({ workloads: [] });
  await silent.clock.advance(600_000);
  expect(silent.store.isConfirmed()).toBe(false);
  silent.store.connected();
  await silent.clock.advance(50_000);
  silent.store.connected();
  await silent.clock.advance(10_001);
  expect(silent.store.isConfirmed()).toBe(true);
  expect(silent.order.filter((step) => step !== "put")).toEqual(["change"]);
});

test("nothing is told as done before it is stored", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const store = createExpectedStore({ shrinkHoldMs: 60_000 }, undefined, {
    clock: createFakeClock(),
    log: createMemoryLog(),
    running: () => new Set(),
    save: () => promise,
    onPut: () => undefined,
    onChange: () => undefined,
  });
  const applying = store.apply(whole(7, ["a"]), "e.7");
  expect([store.state().revision, store.stored().revision]).toEqual([7, undefined]);
  resolve();
  await applying;
  expect(store.stored()).toEqual({ epoch: "e", revision: 7 });
});
