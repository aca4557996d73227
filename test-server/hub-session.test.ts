import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { auditViewSchema } from "../src/contract/fleet/audit-view.ts";
import { pageSchema } from "../src/contract/fleet/page.ts";
import type { SessionView } from "../src/contract/fleet/session.ts";
import { createHubSessionWorld, type HubSessionWorld } from "./hub-session-world.ts";

/** From the wish that it be awake to its process. */
const HEARD_MS = 2000;

let world: HubSessionWorld;
beforeAll(async () => {
  world = await createHubSessionWorld();
}, 120_000);
afterAll(() => world?.[Symbol.asyncDispose]());

const isIn = (state: SessionView["state"], boxId?: string) => (view: SessionView) =>
  view.state === state && (boxId === undefined || view.box === boxId);
const runs = isIn("running");
const pageOf = async ({ session }: SessionView, path = "/") =>
  (await fetch(`${session?.endpoints?.[0]?.url}${path}`)).text();
const drain = (boxId: string, draining: boolean) => world.hub.call("PATCH", `/v1/boxes/${boxId}`, { draining });

test("a session is placed, can be reached where its view says, hibernates, wakes with its files within the link's latency, and is gone", async () => {
  const { wish, create, until, post, boxes } = world;
  const made = await create(wish("app", { volumes: [{ name: "data", path: "/data" }] }));
  expect(["pending", "starting", "running"]).toContain(made.state);
  const first = await until("app", runs, "it runs");
  expect(first.placement?.reason).toBe("of 2 that can take it, it has the fewest sessions (0)");
  expect(await pageOf(first)).toBe("here");
  await pageOf(first, "/write?text=kept");
  const box = boxes.find(({ boxId }) => boxId === first.box);

  expect((await post("app", "touch")).state).toBe("running");
  expect((await post("app", "wake")).revision).toBe(first.revision);
  await post("app", "hibernate");
  const asleep = await until("app", isIn("hibernated"), "it sleeps");
  expect(asleep.session).toMatchObject({ sleep: { depth: "stopped", because: "asked" }, turn: 1 });
  expect(box?.workloadPids()).toEqual([]);
  expect((await post("app", "hibernate")).revision).toBe(asleep.revision);
  await expect(post("app", "touch")).rejects.toThrow(/409 .*session app is hibernated/);

  const wakeMs = async () => {
    const askedMs = systemClock.monotonicMs();
    await post("app", "wake");
    await box?.until(() => box.workloadPids().length > 0, "its process is there");
    return systemClock.monotonicMs() - askedMs;
  };
  // The best of some turns: a machine that has no time for anybody is not the link.
  let heardMs = await wakeMs();
  for (let turn = 0; turn < 4 && heardMs >= HEARD_MS; turn++) {
    await until("app", runs, "it is awake");
    await post("app", "hibernate");
    await until("app", isIn("hibernated"), "it sleeps again");
    heardMs = Math.min(heardMs, await wakeMs());
  }
  const awake = await until("app", runs, "it is awake");
  expect(heardMs).toBeLessThan(HEARD_MS);
  expect(await pageOf(awake, "/read")).toBe("kept");
  await world.stop("app");
  expect(boxes.flatMap((one) => one.workloadPids())).toEqual([]);
});

test("one that fails again and again, and one that its box refuses, are told with the reason, and do not keep others from running", async () => {
  const { wish, create, until } = world;
  await create(wish("crash", { does: "exit 3" }));
  await create(wish("refused", { template: { command: ["/bin/true"] } }));
  await create(wish("once", { does: "exit 0", restart: "never" }));
  await create(wish("well"));
  const failing = await until("crash", isIn("failing"), "it fails");
  expect(failing.reason).toMatch(/3/);
  expect(failing.workload?.lastExit?.code).toBe(3);
  // One that was passed over for another reason may be asked yet.
  const isRefusedByBoth = (session: SessionView) =>
    isIn("refused")(session) &&
    session.workload?.state === "refused" &&
    session.placement?.passedOver.map(({ reason }) => reason.split(":", 1)[0]).join() === "it refused it";
  // The hub tries the other box, too, before it is over.
  expect((await until("refused", isRefusedByBoth, "both boxes refuse it")).reason).toBe(
    `template.command[0]: given /bin/true; allowed: ${process.execPath}`,
  );
  expect((await until("once", isIn("ended"), "it has ended")).reason).toBeDefined();
  await until("well", runs, "the other one runs");
  await expect(world.post("refused", "hibernate")).rejects.toThrow(/409 .*session refused is refused/);
  await Promise.all(["crash", "refused", "once", "well"].map(world.stop));
});

test("a box that is drained hands its session over: at no moment do both run it", async () => {
  const { wish, create, until, boxes } = world;
  await create(wish("mobile"));
  const first = await until("mobile", runs, "it runs");
  const from = boxes.find(({ boxId }) => boxId === first.box) ?? boxes[0];
  const to = boxes.find((box) => box !== from) ?? boxes[1];
  await create(wish("tied", { box: from.boxId }));
  await until("tied", runs, "the other runs");
  let isOver = false;
  let most = 0;
  const watching = (async () => {
    while (!isOver) {
      const there = await Promise.all(boxes.map((box) => box.workload("mobile")));
      most = Math.max(most, there.filter((one) => one?.pid !== undefined).length);
      await systemClock.delay(10);
    }
  })();
  await drain(from.boxId, true);
  const moved = await until("mobile", isIn("running", to.boxId), "it runs on the other box");
  isOver = true;
  await watching;
  expect(most).toBe(1);
  expect(await pageOf(moved)).toBe("here");
  const tied = await until("tied", ({ reason }) => reason !== undefined, "the other says why it stays");
  expect(tied).toMatchObject({
    state: "running",
    box: from.boxId,
    reason: `${from.boxId} is draining, and it stays: the wish names that box`,
  });
  await drain(from.boxId, false);
  const { items } = pageSchema(auditViewSchema).parse(await world.hub.call("GET", "/v1/audit?subject=session/mobile"));
  expect(items.map(({ action }) => action)).toEqual([
    "session.place",
    "session.withdraw",
    "session.place",
    "session.create",
  ]);
  await Promise.all(["mobile", "tied"].map(world.stop));
});

test("an agent that is killed costs its session nothing, and what was asked meanwhile is done when it is back", async () => {
  const { wish, create, until, post } = world;
  await create(wish("steady"));
  const first = await until("steady", runs, "it runs");
  const box = world.boxes.find(({ boxId }) => boxId === first.box) ?? world.boxes[0];
  const [pid] = box.workloadPids();
  await box.killAgent("SIGKILL");
  expect(await pageOf(first)).toBe("here");
  await box.startAgent();
  await box.untilState("steady", "running");
  expect(box.workloadPids()).toEqual([pid]);
  await box.killAgent("SIGKILL");
  await post("steady", "hibernate");
  expect(box.workloadPids()).toEqual([pid]);
  await box.startAgent();
  await until("steady", isIn("hibernated"), "it sleeps");
  expect(box.workloadPids()).toEqual([]);
  await world.stop("steady");
});
