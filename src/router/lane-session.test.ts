import type { Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { systemClock } from "../base/clock.ts";
import type { Carrier } from "../remote/carrier.ts";
import { newKeyPair } from "../remote/proof-hub.fake.ts";
import { awaitProof, proveToBox } from "../remote/proven-carrier.ts";
import { createWindowLedger } from "../remote/receive-window.ts";
import { createRemoteSession, type RemoteSession } from "../remote/remote-session.ts";
import { createRouterDialler, type RouterDialler, type Traffic } from "../remote/router-dialler.ts";
import { startLaneMiddle } from "./lane-middle.fake.ts";
import { listen, ROUTER_ID, type RouterUnderTest, startRouter, ticketFor } from "./router.fake.ts";

const FACTS = { session: "s-1", box: "edge-001", attempt: 1, isSealed: false };
const boxKeys = newKeyPair();
const operatorKeys = newKeyPair();
const never = new AbortController().signal;
const DATA = Buffer.from([0x08, 0x01, 0x10, 0x01, 0x1a, 0x05, 0x08, 0x01, 0x12, 0x01, 0x61]);

let world: RouterUnderTest;
const diallers: RouterDialler[] = [];
const middles: (() => void)[] = [];
beforeEach(async () => {
  world = await startRouter({ hasLanes: true });
});
afterEach(async () => {
  for (const dialler of diallers.splice(0)) dialler.close();
  for (const close of middles.splice(0)) close();
  await world.close();
});

function newDialler(): RouterDialler {
  const dialler = createRouterDialler({ client: "test/1" }, { clock: systemClock, authorities: () => [] });
  diallers.push(dialler);
  return dialler;
}

function join(side: "operator" | "box", url = world.url, dialler = newDialler()): Promise<Carrier> {
  return dialler.join(
    { router: { id: ROUTER_ID, url }, ticket: ticketFor({ side }), traffic: "piped", isSealed: true },
    {},
    never,
  );
}

function hear(carrier: Carrier) {
  return { carrier, ...listen(carrier) };
}

async function startMiddle(onLane: (near: Socket, far: Socket) => void): Promise<string> {
  const middle = await startLaneMiddle(world.port, onLane);
  middles.push(middle.close);
  return middle.url;
}

/** Both ends, past their proof; the operator's has said `first`. */
async function meet(joins = [join("operator"), join("box")], isSealed = false) {
  const [operator, box] = await Promise.all(joins);
  if (operator === undefined || box === undefined) throw new Error("two ends are wanted");
  const facts = { ...FACTS, isSealed };
  const waiting = awaitProof(box, { ...facts, boxKey: boxKeys.privateKey }, () => operatorKeys.key, deps, never);
  const task = { ...facts, ticket: "ticket", privateKey: operatorKeys.privateKey, boxKey: boxKeys.key };
  const here = hear(await proveToBox(operator, task, deps));
  here.carrier.send([DATA]);
  return { here, there: hear(await waiting) };
}

/** Both ends of a session go over what `joins` give. */
async function carryBoth(operator: RemoteSession, box: RemoteSession, joins: readonly Promise<Carrier>[]) {
  const [one, other] = await Promise.all(joins);
  if (one === undefined || other === undefined) throw new Error("two ends are wanted");
  const facts = { ...FACTS, boxKey: boxKeys.privateKey };
  const waiting = awaitProof(other, facts, () => operatorKeys.key, deps, never);
  const task = { ...FACTS, ticket: "ticket", privateKey: operatorKeys.privateKey, boxKey: boxKeys.key };
  const carried = operator.carry(await proveToBox(one, task, deps));
  return { operator: carried, box: box.carry(await waiting) };
}
const deps = { clock: systemClock };

it("carries frames both ways between two ends that have proved themselves, and their end in order", async () => {
  const { here, there } = await meet();
  expect(world.router.metrics()).toContain("router_grpc_lanes_active 1");
  const sent = [3, 2048, 65_600, 1_000_000].map((length) => Buffer.alloc(length, 8));
  for (const frame of sent) there.carrier.send([frame.subarray(0, 1), frame.subarray(1)]);
  await expect.poll(() => here.frames.length).toBe(sent.length);
  expect(here.frames.map((frame, index) => frame.equals(sent[index] ?? DATA))).toEqual(sent.map(() => true));
  expect(there.frames).toEqual([DATA]);
  const big = Buffer.alloc(3_000_000, 9);
  here.carrier.send([big]);
  here.carrier.finish();
  expect((await there.end).reason).toBe("peer-done");
  expect(there.frames.at(-1)?.equals(big)).toBe(true);
  there.carrier.finish();
  expect((await here.end).reason).toBe("peer-done");
  await expect.poll(() => world.router.list()).toEqual([]);
  await expect.poll(() => world.router.metrics()).toContain("router_grpc_connections 0");
});

it("is offered where something is piped that is sealed on the way or end to end, and nowhere else", async () => {
  const hasLane = async (traffic: Traffic, isSealed: boolean) => {
    const sid = `${traffic}-${isSealed}`;
    const ends = (["operator", "box"] as const).map((side) => {
      const target = { router: { id: ROUTER_ID, url: world.url }, ticket: ticketFor({ side, sid }), traffic, isSealed };
      return newDialler().join(target, {}, never);
    });
    return (await Promise.all(ends)).map(({ lane }) => lane !== undefined);
  };
  expect(await hasLane("piped", true)).toEqual([true, true]);
  // Without TLS to the router, too.
  expect(await hasLane("piped", false)).toEqual([false, false]);
  expect(await hasLane("bulk", true)).toEqual([false, false]);
});

const isOnLane = () => world.router.metrics().includes("router_grpc_lanes_active 1");

/** That frames go both ways, wherever. */
async function proveAlive({ here, there }: Awaited<ReturnType<typeof meet>>): Promise<void> {
  there.carrier.send([DATA]);
  await expect.poll(() => [here.frames, there.frames]).toEqual([[DATA], [DATA]]);
}

it.each([false, true])(
  "shows the router, and whoever listens on the way, nothing of a frame (asked to seal: %s)",
  async (isSealed) => {
    const seen: Buffer[] = [];
    const url = await startMiddle((near, far) => {
      near.on("data", (bytes: Buffer) => seen.push(bytes));
      far.on("data", (bytes: Buffer) => seen.push(bytes));
    });
    const met = await meet([join("operator", url), join("box")], isSealed);
    expect(isOnLane()).toBe(true);
    await proveAlive(met);
    expect(Buffer.concat(seen).length).toBeGreaterThan(500);
    expect(Buffer.concat(seen).includes(DATA)).toBe(false);
  },
);

it.each([
  ["ends every lane of the operator", "operator", (near: Socket) => near.destroy()],
  ["ends every lane of the box", "box", (near: Socket) => near.destroy()],
  [
    "answers as another server",
    "operator",
    (near: Socket, far: Socket) => {
      far.destroy();
      near.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    },
  ],
  [
    "changes the handshake",
    "operator",
    (near: Socket, far: Socket) => {
      near.removeAllListeners("data");
      near.on("data", (bytes: Buffer) => far.write(bytes.map((byte, index) => (index > 60 ? byte ^ 1 : byte))));
    },
  ],
] as const)("goes over the calls, and loses nothing, where something in between %s", async (_, side, act) => {
  const url = await startMiddle(act);
  const dialler = newDialler();
  const joins =
    side === "operator" ? [join("operator", url, dialler), join("box")] : [join("operator"), join("box", url)];
  const met = await meet(joins);
  expect(isOnLane()).toBe(false);
  await proveAlive(met);
  if (side === "box") return;
  // It is not tried again by who was let down by it.
  met.here.carrier.finish();
  met.there.carrier.finish();
  await expect.poll(() => world.router.list()).toEqual([]);
  const [operator] = await Promise.all([join("operator", url, dialler), join("box")]);
  expect(operator.lane).toBeUndefined();
});

it("breaks with its lane, so that both ends come back, and then without one", async () => {
  let cut = () => undefined as unknown;
  const url = await startMiddle((near) => {
    cut = () => near.resetAndDestroy();
  });
  const dialler = newDialler();
  const met = await meet([join("operator", url, dialler), join("box")]);
  await proveAlive(met);
  cut();
  expect([(await met.here.end).reason, (await met.there.end).reason].sort()).toContain("broken");
  await expect.poll(() => world.router.list()).toEqual([]);
  await proveAlive(await meet([join("operator", url, dialler), join("box")]));
  expect(isOnLane()).toBe(false);
});

it("is not tried again by a box to which nothing came over it, although its operator spoke on it", async () => {
  // Both flights of the operator's handshake, and nothing behind them.
  let flights = 0;
  const url = await startMiddle((near, far) => {
    near.removeAllListeners("data");
    near.on("data", (bytes: Buffer) => {
      if (++flights <= 2) far.write(bytes);
    });
  });
  const atBox = newDialler();
  const [operator, box] = await Promise.all([join("operator", url), join("box", world.url, atBox)]);
  const clock = createFakeClock();
  const facts = { ...FACTS, boxKey: boxKeys.privateKey };
  const waiting = awaitProof(box, facts, () => operatorKeys.key, { clock }, never);
  const task = { ...FACTS, ticket: "ticket", privateKey: operatorKeys.privateKey, boxKey: boxKeys.key };
  const here = hear(await proveToBox(operator, task, { clock }));
  await expect.poll(() => flights).toBe(2);
  here.carrier.send([DATA]);
  let isDecided = false;
  void waiting.then(() => {
    isDecided = true;
  });
  await expect
    .poll(
      async () => {
        await clock.advance(1000);
        return isDecided;
      },
      { timeout: 10_000, interval: 20 },
    )
    .toBe(true);
  expect((await hear(await waiting).end).reason).toBe("broken");
  await here.end;
  await expect.poll(() => world.router.list()).toEqual([]);
  const [, again] = await Promise.all([join("operator", url), join("box", world.url, atBox)]);
  expect(again.lane).toBeUndefined();
});

it.each([
  ["the session is ended", () => world.router.terminate("s-1", "by bob"), "terminated"],
  ["the router drains", () => void world.router.drain(100), "draining"],
  ["the box joins again", () => void join("box").catch(() => undefined), "peer-lost"],
])("tells the operator's end when %s", async (_, act, reason) => {
  const met = await meet();
  await proveAlive(met);
  act();
  expect((await met.here.end).reason).toBe(reason);
});

it("tells the router that a session is in use whose frames it does not see, and that its ends live", async () => {
  const { here } = await meet();
  const idleMs = () => world.router.list()[0]?.idleMs ?? Number.NaN;
  await expect.poll(idleMs).toBeGreaterThan(600);
  here.carrier.send([DATA]);
  await expect.poll(idleMs).toBeLessThan(500);
});

it("is resumed by the next meeting, on a lane or not, with nothing lost and nothing twice", async () => {
  const newEnd = (side: "operator" | "box") =>
    createRemoteSession(
      { side, program: "test/1" },
      { clock: systemClock, newId: () => side, ledger: createWindowLedger() },
    );
  const [operator, box] = [newEnd("operator"), newEnd("box")];
  box.onChannel((channel) => {
    channel.accept();
    channel.readable("in").pipe(channel.writable("out"));
  });
  const cuts: (() => void)[] = [];
  const url = await startMiddle((near) => cuts.push(() => void near.resetAndDestroy()));
  const sent = Buffer.alloc(8_000_000, "0123456789abcdef\n");
  const channel = operator.open({ kind: "dial", host: "127.0.0.1", port: 1 });
  const back = buffer(channel.readable("out"));
  channel.writable("in").end(sent);
  const lanes: boolean[] = [];
  for (const mark of [500_000, 2_500_000]) {
    // Programs that have just begun: they know nothing of earlier lanes.
    const carried = await carryBoth(operator, box, [join("operator", url), join("box")]);
    await expect.poll(() => operator.stats().receivedBytes, { timeout: 10_000 }).toBeGreaterThan(mark);
    lanes.push(isOnLane());
    cuts.at(-1)?.();
    await Promise.all([carried.operator, carried.box]);
    await expect.poll(() => world.router.list()).toEqual([]);
  }
  await carryBoth(operator, box, [join("operator", await startMiddle((near) => void near.destroy())), join("box")]);
  lanes.push(isOnLane());
  expect((await back).equals(sent)).toBe(true);
  expect(lanes).toEqual([true, true, false]);
  operator.close();
  await box.closed;
});

it("holds the sender while the other end does not read, and loses nothing", async () => {
  const [operator, box] = await Promise.all([join("operator"), join("box")]);
  const facts = { ...FACTS, boxKey: boxKeys.privateKey };
  const waiting = awaitProof(box, facts, () => operatorKeys.key, deps, never);
  const task = { ...FACTS, ticket: "ticket", privateKey: operatorKeys.privateKey, boxKey: boxKeys.key };
  const here = hear(await proveToBox(operator, task, deps));
  const frame = Buffer.alloc(65_536, 7);
  here.carrier.send([frame]);
  const there = await waiting;
  let sent = 1;
  while (sent < 4096) {
    sent += 1;
    if (!here.carrier.send([frame]) && (world.router.list()[0]?.boxStalledMs ?? 0) > 0) break;
    if (sent % 8 === 0) await new Promise((done) => setTimeout(done, 1));
  }
  expect(sent, "frames of 64 KiB that were taken for a box that reads none").toBeLessThan(4096);
  const atBox = listen(there);
  await expect.poll(() => atBox.frames.length, { timeout: 10_000 }).toBe(sent);
  expect(atBox.frames.every((one) => one.equals(frame))).toBe(true);
});
