import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { messageOf } from "../src/base/errors.ts";
import { type TunnelView, tunnelViewSchema } from "../src/contract/fleet/tunnel.ts";
import { startBalancer } from "./balancer.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { createHubTunnelWorld } from "./hub-tunnel-world.ts";
import { redisRefusal, startRedis } from "./redis-server.ts";

/** Each hub is asked for half of them, all at the same time. */
const TUNNELS = process.env["SLUICE_TEST_LONG"] === "1" ? 20 : 8;
/** When the first hub dies, from the moment at which all are asked for. */
const KILL_AFTER_MS = 120;
const LIMIT_MS = 60_000;

test.skipIf(redisRefusal !== undefined)(
  `of two hubs on one Redis, each asked for ${TUNNELS / 2} tunnels between the same boxes at the same time, one is killed: no port is given twice, and all come up`,
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-two-hubs-"));
    await using stack = new AsyncDisposableStack();
    stack.defer(() => rmSync(directory, { recursive: true, force: true }));
    const keyFile = join(directory, "secrets.key");
    writeFileSync(keyFile, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
    const redis = stack.use(await startRedis({ durable: true }));
    const hubs: HubProcess[] = [];
    const balancer = stack.use(await startBalancer({ servers: () => hubs.map(({ port }) => port) }));
    const address = `http://127.0.0.1:${balancer.port}`;
    const startHub = async () => {
      const storeUrl = `redis://${redis.host}:${redis.port}`;
      const common = { storeUrl, publicUrl: address, flags: ["--secrets-key-file", keyFile] };
      const adminToken = hubs[0]?.adminToken;
      const hub = await startHubProcess({ ...common, ...(adminToken === undefined ? {} : { adminToken }) });
      hubs.push(stack.use(hub));
      return hub;
    };
    const first = await startHub();
    const second = await startHub();
    const world = stack.use(await createHubTunnelWorld({ current: () => second, address }));

    const ask = async (hub: HubProcess, number: number) => {
      const body = world.wish({ security: number % 4 < 2 ? "cert" : "psk" });
      return tunnelViewSchema.parse(await hub.call("PUT", `/v1/tunnels/both-${number}`, body));
    };
    const numbers = Array.from({ length: TUNNELS }, (_, number) => number);
    const asked = numbers.map((number) => ask(number % 2 === 0 ? first : second, number).catch(messageOf));
    await systemClock.delay(KILL_AFTER_MS);
    await first.kill();
    const answers = await Promise.all(asked);
    const lost = numbers.filter((number) => typeof answers[number] === "string");
    console.info(`${lost.length} of ${TUNNELS} requests were lost with their hub`);
    expect(lost.filter((number) => number % 2 === 1)).toEqual([]);
    // Who got no answer asks the other hub for the same.
    await Promise.all(lost.map((number) => ask(second, number)));

    const beganMs = systemClock.monotonicMs();
    const tunnels: TunnelView[] = [];
    for (const number of numbers) {
      await world.until(`both-${number}`, (seen) => seen?.phase === "up", `both-${number} is up`, LIMIT_MS);
      tunnels.push(tunnelViewSchema.parse(await world.view(`both-${number}`)));
    }
    console.info(`all up ${Math.round(systemClock.monotonicMs() - beganMs)} ms after the last was asked for`);
    const ways = tunnels.flatMap((tunnel) => tunnel.ways);
    for (const side of ["entry", "gateway"] as const) {
      expect(new Set(ways.map((way) => way[side])).size, side).toBe(ways.length);
    }
    for (const tunnel of tunnels) {
      const echo = await world.open(tunnel);
      expect(await echo.say(tunnel.uid)).toBe(tunnel.uid);
      echo.close();
    }
    // What each answered is what there is.
    for (const answer of answers) {
      if (typeof answer === "string") continue;
      expect(tunnels.find(({ uid }) => uid === answer.uid)?.ways).toEqual(answer.ways);
    }
    for (const { uid } of tunnels) await second.call("DELETE", `/v1/tunnels/${uid}`);
    for (const { uid } of tunnels) await world.until(uid, (seen) => seen === undefined, `${uid} is down`, LIMIT_MS);
    expect([world.producer.workloadPids(), world.consumer.workloadPids()]).toEqual([[], []]);
  },
  300_000,
);
