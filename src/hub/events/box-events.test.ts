import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { hashSecret } from "../auth/secret-hash.ts";
import { type EventClient, openEvents, sendReport } from "../box-client.fake.ts";
import { startCursorAgent } from "../cursor-agent.fake.ts";
import { addBox, type LiveHub, type LiveHubWish, memoryStore, startLiveHub } from "../live-hub.fake.ts";
import { reportOf, stream } from "../store/store.fake.ts";

const open: (Disposable | AsyncDisposable)[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) {
    if (Symbol.asyncDispose in one) await one[Symbol.asyncDispose]();
    else one[Symbol.dispose]();
  }
});

async function hub(wish: LiveHubWish = {}): Promise<LiveHub> {
  const made = await startLiveHub(wish);
  open.push(made);
  return made;
}

async function connect(
  { origin }: LiveHub,
  box: string,
  given: Parameters<typeof openEvents>[1],
): Promise<EventClient> {
  const client = await openEvents(`${origin}/v1/boxes/${box}/events`, given);
  open.push(client);
  return client;
}

const now = () => ({ nowMs: systemClock.wallMs() });
const named = (name: string) => (event: { readonly name: string }) => event.name === name;
const isAnything = () => true;

test("a box without a cursor gets its whole set, then each change as one step, and beats that tell their period", async () => {
  const { store, ...rest } = await hub();
  const key = await addBox(store, "north-1");
  await store.expected.change("north-1", { put: [stream("cam-1")] }, now());
  const box = await connect({ store, ...rest }, "north-1", { token: key });
  expect(box.headers).toMatchObject({ "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" });
  const whole = await box.until(named("expected"));
  expect(whole.data).toMatchObject({ revision: 1, workloads: [{ id: "cam-1", kind: "stream" }] });
  await store.expected.change("north-1", { put: [stream("cam-2")], remove: ["cam-1"] }, now());
  const step = await box.until(named("change"));
  expect(step.data).toMatchObject({ revision: 2, put: [{ id: "cam-2" }], remove: ["cam-1"] });
  expect(step.id).toMatch(/\.2$/);
  expect(box.comments).toContain("beat 15");
});

test("a cursor gets exactly what came after it, and one event even when nothing came", async () => {
  const made = await hub();
  const { store } = made;
  const key = await addBox(store, "b");
  for (const id of ["one", "two", "three"]) await store.expected.change("b", { put: [stream(id)] }, now());
  const { epoch } = await store.expected.get("b");
  const behind = await connect(made, "b", { token: key, lastEventId: `${epoch}.1` });
  await behind.until(({ id }) => id === `${epoch}.3`);
  expect(behind.events.map(({ name, id }) => [name, id])).toEqual([
    ["change", `${epoch}.2`],
    ["change", `${epoch}.3`],
  ]);
  behind.close();
  const upToDate = await connect(made, "b", { token: key, lastEventId: `${epoch}.3` });
  expect(await upToDate.until(isAnything)).toEqual({ name: "ready", id: `${epoch}.3`, data: {} });
});

test.each([
  ["of another life of the store", "elsewhere.2"],
  ["that is none", "nonsense"],
])("a cursor %s gets the whole set", async (_what, cursor) => {
  const made = await hub();
  const key = await addBox(made.store, "b");
  const box = await connect(made, "b", { token: key, lastEventId: cursor });
  expect(await box.until(isAnything)).toMatchObject({ name: "expected", data: { revision: 0, workloads: [] } });
});

test("a cursor that is older than what is kept gets the whole set", async () => {
  const made = await hub();
  const key = await addBox(made.store, "b");
  await made.store.expected.get("b");
  for (let at = 0; at < 300; at++)
    await made.store.expected.change("b", { put: [stream(`s${at % 3}`, `rtsp://x/${at}`)] }, now());
  const { epoch } = await made.store.expected.get("b");
  const box = await connect(made, "b", { token: key, lastEventId: `${epoch}.2` });
  expect(await box.until(isAnything)).toMatchObject({ name: "expected", id: `${epoch}.300` });
});

test("A7: a box that has seen what a restored store lost gets its set in a new epoch, and nothing of it stops", async () => {
  const made = await hub();
  const key = await addBox(made.store, "b");
  await made.store.expected.change("b", { put: [stream("cam")] }, now());
  const { epoch } = await made.store.expected.get("b");
  const box = await connect(made, "b", { token: key, lastEventId: `${epoch}.9` });
  const event = await box.until(isAnything);
  expect(event).toMatchObject({ name: "expected", data: { revision: 1, workloads: [{ id: "cam" }] } });
  expect(event.id).not.toBe(`${epoch}.1`);
});

test("what is hibernated is not sent, and going to sleep is a removal", async () => {
  const made = await hub();
  const { store } = made;
  const key = await addBox(store, "b");
  await store.expected.change("b", { put: [stream("day"), { ...stream("night"), desired: "hibernated" }] }, now());
  const box = await connect(made, "b", { token: key });
  expect((await box.until(named("expected"))).data).toMatchObject({ workloads: [{ id: "day" }] });
  await store.expected.change("b", { put: [{ ...stream("day"), desired: "hibernated" }, stream("night")] }, now());
  expect((await box.until(named("change"))).data).toMatchObject({ put: [{ id: "night" }], remove: ["day"] });
});

test("a box that waits for approval has a quiet connection, and its set as soon as it is approved", async () => {
  const made = await hub();
  const key = await addBox(made.store, "new", { approve: false });
  await made.store.expected.change("new", { put: [stream("cam")] }, now());
  const box = await connect(made, "new", { token: key });
  expect(await box.until(isAnything)).toEqual({ name: "hold", id: undefined, data: { reason: "pending" } });
  await made.store.boxes.update("new", { state: "approved" }, now());
  expect((await box.until(named("expected"))).data).toMatchObject({ workloads: [{ id: "cam" }] });
  expect(box.events).toHaveLength(2);
});

test("A10: a revoked box is cut within five seconds, and stays out", async () => {
  const made = await hub();
  const key = await addBox(made.store, "b");
  const box = await connect(made, "b", { token: key });
  await box.until(isAnything);
  const startedMs = systemClock.monotonicMs();
  await made.store.boxes.update("b", { state: "revoked" }, now());
  await box.closed;
  expect(systemClock.monotonicMs() - startedMs).toBeLessThan(5000);
  expect((await connect(made, "b", { token: key })).status).toBe(401);
});

test("A10: the connection of a key that was replaced ends, and the new key goes on from the same cursor", async () => {
  const made = await hub();
  const key = await addBox(made.store, "b");
  const old = await connect(made, "b", { token: key });
  const { id } = await old.until(isAnything);
  await made.store.boxes.stageKey("b", hashSecret("the-next-key"), now());
  expect((await sendReport(made.origin, key, reportOf("b", "s", 1))).status).toBe(202);
  expect((await sendReport(made.origin, "the-next-key", reportOf("b", "s", 2))).status).toBe(202);
  await old.closed;
  const next = await connect(made, "b", { token: "the-next-key", lastEventId: id });
  expect(await next.until(isAnything)).toMatchObject({ name: "ready", id });
  expect((await sendReport(made.origin, "the-next-key", reportOf("b", "s", 3))).status).toBe(202);
});

test("A10: a key that is changed again and again under load costs no report and no revision", async () => {
  const made = await hub();
  const { store, origin } = made;
  let key = await addBox(store, "b");
  const agent = startCursorAgent({ boxId: "b", key: () => key, origins: () => [origin] });
  const statuses = new Map<number, number>();
  let isOver = false;
  let revision = 0;
  const reporting = (async () => {
    for (let sequence = 1; !isOver; sequence++) {
      const { status } = await sendReport(origin, key, reportOf("b", "s", sequence));
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  })();
  const writing = (async () => {
    while (!isOver) {
      await store.expected.change("b", { put: [stream("cam", `rtsp://camera/${++revision}`)] }, now());
      await systemClock.delay(5);
    }
  })();
  for (let round = 0; round < 5; round++) {
    await expect.poll(() => agent.connections()).toBeGreaterThan(round);
    const next = `key-of-round-${round}`;
    await store.boxes.stageKey("b", hashSecret(next), now());
    // From here on the box holds both, and the next one is good from its first use.
    key = next;
  }
  await expect.poll(() => agent.connections()).toBeGreaterThan(5);
  isOver = true;
  await Promise.all([reporting, writing]);
  const { epoch } = await store.expected.get("b");
  await expect.poll(() => agent.cursor()).toBe(`${epoch}.${revision}`);
  await agent.stop();
  expect([...statuses.keys()]).toEqual([202]);
  expect(agent.faults).toEqual([]);
});

test("of two connections of one box the newest stays", async () => {
  const made = await hub();
  const key = await addBox(made.store, "b");
  const older = await connect(made, "b", { token: key });
  await older.until(isAnything);
  const newer = await connect(made, "b", { token: key });
  await newer.until(isAnything);
  await older.closed;
  expect(newer.isOpen()).toBe(true);
  expect((await made.store.boxes.get("b"))?.quarantine).toBeUndefined();
});

test("A3: a command is sent once, whatever wakes the connection and however often the box comes back", async () => {
  const made = await hub();
  const { store } = made;
  const key = await addBox(store, "b");
  const box = await connect(made, "b", { token: key });
  await box.until(isAnything);
  const deadlineMs = systemClock.wallMs() + 60_000;
  await store.commands.create("b", { id: "c-1", name: "reconcile", args: { deep: true }, deadlineMs }, now());
  const event = await box.until(named("command"));
  expect(event).toEqual({
    name: "command",
    id: undefined,
    data: { id: "c-1", name: "reconcile", args: { deep: true }, deadline: new Date(deadlineMs).toISOString() },
  });
  await store.expected.change("b", { put: [stream("cam")] }, now());
  await box.until(named("change"));
  const again = await connect(made, "b", { token: key });
  await again.until(named("expected"));
  await store.commands.create("b", { id: "c-2", name: "reconcile", args: {}, deadlineMs }, now());
  await again.until(({ data }) => JSON.stringify(data).includes("c-2"));
  const sent = [...box.events, ...again.events].filter(named("command"));
  expect(sent.map(({ data }) => data)).toMatchObject([{ id: "c-1" }, { id: "c-2" }]);
});

test("A5: a command whose deadline passed while the box was away is never sent, and is answered as expired", async () => {
  const made = await hub();
  const { store } = made;
  const key = await addBox(store, "b");
  await store.commands.create("b", { id: "late", name: "x", args: {}, deadlineMs: systemClock.wallMs() + 300 }, now());
  await systemClock.delay(400);
  const box = await connect(made, "b", { token: key });
  await store.commands.create("b", { id: "good", name: "x", args: {}, deadlineMs: systemClock.wallMs() + 9000 }, now());
  expect((await box.until(named("command"))).data).toMatchObject({ id: "good" });
  expect(await store.commands.list("b", systemClock.wallMs())).toMatchObject([
    { id: "late", state: "expired", answer: "not sent before the deadline" },
    { id: "good", state: "taken" },
  ]);
});

test("A11: a storm is let in at the hub's rate, and the others are told times that lie apart", async () => {
  const made = await hub({ options: { connects: { perSecond: 1, burst: 10 } } });
  const keys = await Promise.all(Array.from({ length: 40 }, (_one, at) => addBox(made.store, `b${at}`)));
  const beganMs = systemClock.monotonicMs();
  const clients = await Promise.all(keys.map((key, at) => connect(made, `b${at}`, { token: key })));
  const seconds = (systemClock.monotonicMs() - beganMs) / 1000;
  const turnedAway = clients.filter(({ status }) => status === 503);
  expect(clients.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(10 + seconds);
  const waits = turnedAway.map(({ headers }) => Number(headers["retry-after"]));
  expect(Math.max(...waits)).toBeGreaterThanOrEqual(3);
  const perSecond = Map.groupBy(waits, (wait) => wait);
  // One a second, and chance decides between two of them.
  expect(Math.max(...[...perSecond.values()].map(({ length }) => length))).toBeLessThanOrEqual(3 + seconds);
});

test("a hub that stops ends its streams properly and tells many boxes to come back one after the other", async () => {
  const made = await hub({ options: { connects: { perSecond: 2, burst: 100 } } });
  const keys = await Promise.all(Array.from({ length: 20 }, (_one, at) => addBox(made.store, `b${at}`)));
  const clients = await Promise.all(keys.map((key, at) => connect(made, `b${at}`, { token: key })));
  await Promise.all(clients.map((client) => client.until(isAnything)));
  await made.close();
  await Promise.all(clients.map(({ closed }) => closed));
  const retries = clients.flatMap((client) => client.retries);
  expect(retries.length).toBeGreaterThanOrEqual(15);
  expect(Math.max(...retries)).toBeGreaterThan(3000);
  expect(Math.max(...retries)).toBeLessThanOrEqual(10_000);
});

test("A13: a box that takes nothing is cut without costing the hub its memory, and is healed by its cursor", async () => {
  const store = memoryStore();
  const made = await hub({ store, options: { beatMs: 1500 } });
  const key = await addBox(store, "slow");
  const big = (at: number) => stream("cam", `rtsp://camera/${at}/${"x".repeat(1000)}`);
  const slow = await connect(made, "slow", { token: key });
  const first = await slow.until(isAnything);
  slow.pause();
  const startedBytes = process.memoryUsage.rss();
  for (let at = 0; at < 200; at++) {
    const many = Array.from({ length: 40 }, (_one, index) => ({
      ...big(at),
      workload: { ...big(at).workload, id: `cam-${index}` },
    }));
    await store.expected.change("slow", { put: many }, now());
  }
  expect(made.live.presence.of("slow").connection).toBe("online");
  await expect.poll(() => made.log.lines.join("\n"), { timeout: 30_000 }).toContain("takes nothing");
  slow.close();
  expect(process.memoryUsage.rss() - startedBytes).toBeLessThan(200 * 1024 * 1024);
  const again = await connect(made, "slow", { token: key, lastEventId: first.id });
  const { epoch } = await store.expected.get("slow");
  await again.until(({ id }) => id === `${epoch}.200`);
});
