import { createServer } from "node:net";
import { loadavg } from "node:os";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import type { TunnelView } from "../src/contract/fleet/tunnel.ts";
import { createHubTunnelWorld, type HubTunnelWorld } from "./hub-tunnel-world.ts";

const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const SET_UPS = isLong ? 20 : 6;
/** Between two set-ups: a box that has told much at once tells a little later for a while. */
const APART_MS = 2000;
/** In the long form the boxes give the silent hub up and come back. */
const FROZEN_MS = isLong ? 90_000 : 2000;

let world: HubTunnelWorld;
beforeAll(async () => {
  world = await createHubTunnelWorld();
}, 120_000);
afterAll(() => world?.[Symbol.asyncDispose]());
// What a test that failed left behind must not fail the next one.
afterEach(async () => {
  for (const box of [world.producer, world.consumer]) if (box.agent() === undefined) await box.startAgent();
  for (const { uid } of JSON.parse(await world.sluice("tunnel", "ls", "--json")).items) await takeDown(uid);
});

const isUp = (tunnel: TunnelView | undefined) => tunnel?.phase === "up";
const isGone = (tunnel: TunnelView | undefined) => tunnel === undefined;
const entryPort = (tunnel: TunnelView) => Number(tunnel.ways[0]?.entry.split(":").at(-1));

async function takeDown(uid: string): Promise<void> {
  await world.hub().call("DELETE", `/v1/tunnels/${uid}`);
  await world.until(uid, isGone, "it is down");
}

/** Of the producer's and of the consumer's end. */
async function pidsOf(uid: string): Promise<readonly (number | undefined)[]> {
  const ends = [world.producer.workload(`${uid}.producer`), world.consumer.workload(`${uid}.consumer`)];
  return (await Promise.all(ends)).map((end) => end?.pid);
}

/** Rejects while something listens there. */
function bind(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(port, "127.0.0.1", () => server.close(() => resolve()));
  });
}

test.for(["cert", "psk"] as const)(
  "`tunnel up` by %s leads to proved bytes, `show` gives the evidence, `down` leaves nothing",
  async (security) => {
    const { producer, consumer, sluice } = world;
    const boxes = [
      "--producer",
      producer.boxId,
      "--consumer",
      consumer.boxId,
      "--source",
      `127.0.0.1:${world.sourcePort}`,
    ];
    const out = await sluice("tunnel", "up", ...boxes, "--security", security, "--name", `By ${security}`, "--json");
    const tunnel: TunnelView = JSON.parse(out);
    expect(tunnel).toMatchObject({ phase: "up", security });
    using echo = disposable(await world.open(tunnel));
    expect(await echo.say("through")).toBe("through");
    const shown = await sluice("tunnel", "show", `By ${security}`);
    expect(shown).toMatch(/cipher +TLSv1\.3 TLS_/);
    expect(shown).toMatch(/attack +plain-text: refused/);
    expect(shown).not.toContain("LET IN");
    expect(await sluice("tunnel", "down", tunnel.uid)).toBe(`tunnel ${tunnel.uid} is down\n`);
    expect([producer.workloadPids(), consumer.workloadPids()]).toEqual([[], []]);
    for (const { entry, gateway } of tunnel.ways) {
      for (const point of [entry, gateway]) await bind(Number(point.split(":").at(-1)));
    }
  },
);

test.for(["cert", "psk"] as const)(
  "by %s: new keys at both ends, and a connection from before goes on",
  async (security) => {
    const tunnel = await world.create({ security });
    await world.until(tunnel.uid, isUp, "it is up");
    using echo = disposable(await world.open(tunnel));
    expect(await echo.say("before")).toBe("before");
    const pids = [...world.producer.workloadPids(), ...world.consumer.workloadPids()];
    expect(await world.sluice("tunnel", "rotate", tunnel.uid)).toBe(`tunnel ${tunnel.uid} has keys of generation 2\n`);
    expect(await echo.say("after")).toBe("after");
    using fresh = disposable(await world.open(tunnel));
    expect(await fresh.say("with new keys")).toBe("with new keys");
    expect([...world.producer.workloadPids(), ...world.consumer.workloadPids()]).toEqual(pids);
    const ends = (await world.view(tunnel.uid))?.ends;
    expect([ends?.producer?.accepts?.length ?? 1, ends?.consumer?.accepts?.length ?? 1]).toEqual([1, 1]);
    await takeDown(tunnel.uid);
  },
);

test("a hub that is killed in the middle is followed by one that goes on; while there is none the tunnel carries", async () => {
  const tunnel = await world.create();
  await world.replaceHub();
  await world.until(tunnel.uid, isUp, "it is up with the next hub", 40_000);
  using echo = disposable(await world.open(tunnel));
  await world.replaceHub(async () => {
    expect(await echo.say("without a hub")).toBe("without a hub");
    using fresh = disposable(await world.open(tunnel));
    expect(await fresh.say("anew")).toBe("anew");
  });
  await world.hub().call("DELETE", `/v1/tunnels/${tunnel.uid}`);
  await world.replaceHub();
  await world.until(tunnel.uid, isGone, "it is down with the next hub", 40_000);
  expect([world.producer.workloadPids(), world.consumer.workloadPids()]).toEqual([[], []]);
});

test(
  `a hub that is frozen for ${FROZEN_MS / 1000} s: what is up goes on and mends itself, and what was coming up comes up after it`,
  async () => {
    const up = await world.create();
    await world.until(up.uid, isUp, "it is up");
    using kept = disposable(await world.open(up));
    const asked = await world.create({ security: "psk" });
    world.hub().signal("SIGSTOP");
    expect(await kept.say("frozen")).toBe("frozen");
    const [, own] = await pidsOf(up.uid);
    process.kill(own ?? 0, "SIGKILL");
    await world.consumer.until(async () => {
      const now = await world.consumer.workload(`${up.uid}.consumer`);
      return now?.pid !== undefined && now.pid !== own && now.tunnel?.phase === "up";
    }, "another process is up while the hub is frozen");
    using fresh = disposable(await world.open(up));
    expect(await fresh.say("without a word of the hub's")).toBe("without a word of the hub's");
    await systemClock.delay(FROZEN_MS);
    const before = await pidsOf(up.uid);
    world.hub().signal("SIGCONT");
    await world.until(asked.uid, isUp, "what was asked for before comes up", 20_000);
    await world.until(up.uid, isUp, "what was up is up");
    expect(await pidsOf(up.uid)).toEqual(before);
    expect(await fresh.say("after")).toBe("after");
    using other = disposable(await world.open(asked));
    expect(await other.say("through the other")).toBe("through the other");
  },
  60_000 + FROZEN_MS,
);

test("a box whose agent is away is named; the tunnel goes up without hands when it is back", async () => {
  await world.consumer.killAgent("SIGKILL");
  const tunnel = await world.create();
  const isNamed = (seen: TunnelView | undefined) => seen?.reason?.includes(world.consumer.boxId) === true;
  await world.until(tunnel.uid, isNamed, "it waits for the box");
  await world.consumer.startAgent();
  await world.until(tunnel.uid, isUp, "it is up", 40_000);
  using echo = disposable(await world.open(tunnel));
  expect(await echo.say("through")).toBe("through");
});

test("a port that something else has is named with its holder, and the tunnel goes up once it is free", async () => {
  const holder = createServer((socket) => socket.on("error", () => undefined));
  const port = entryPort(await free());
  await new Promise<void>((resolve) => holder.listen(port, "127.0.0.1", resolve));
  const tunnel = await world.create({ entries: [{ port }] });
  const isNamed = (seen: TunnelView | undefined) => seen?.reason?.includes(`127.0.0.1:${port}`) === true;
  await world.until(tunnel.uid, isNamed, "the port is named");
  expect((await world.view(tunnel.uid))?.reason).toContain(`${process.pid}`);
  await new Promise((resolve) => holder.close(resolve));
  await world.until(tunnel.uid, isUp, "it is up", 40_000);
  await takeDown(tunnel.uid);
});

/** A tunnel that was, so that its ports are free. */
async function free(): Promise<TunnelView> {
  const tunnel = await world.create();
  await takeDown(tunnel.uid);
  return tunnel;
}

test(`from the request to proved bytes it takes no more than seconds, over ${SET_UPS} tunnels`, async () => {
  const took: number[] = [];
  for (let run = 0; run < SET_UPS; run++) {
    await systemClock.delay(APART_MS);
    const beganMs = systemClock.monotonicMs();
    const tunnel = await world.create({ security: run % 2 === 0 ? "cert" : "psk" });
    await world.until(tunnel.uid, isUp, "it is up");
    took.push(systemClock.monotonicMs() - beganMs);
    await takeDown(tunnel.uid);
  }
  const of = (kind: number) => took.filter((_, run) => run % 2 === kind).toSorted((one, other) => one - other);
  for (const [name, times] of [
    ["certificates", of(0)],
    ["shared key", of(1)],
  ] as const) {
    const at = (part: number) => Math.round(times[Math.floor(part * (times.length - 1))] ?? 0);
    console.info(
      `set-up with ${name}: median ${at(0.5)} ms, least ${at(0)}, most ${at(1)}; load ${loadavg()[0]?.toFixed(1)} on this machine`,
    );
  }
  expect(Math.min(...took)).toBeLessThan(5000);
}, 180_000);

function disposable<Value extends { close(): void }>(value: Value): Value & Disposable {
  return Object.assign(value, { [Symbol.dispose]: () => value.close() });
}
