import { randomBytes } from "node:crypto";
import { test } from "vitest";
import { type RedisServer, redisRefusal, startRedis } from "../../test-server/redis-server.ts";
import { systemClock } from "../base/clock.ts";
import { createMemoryLog } from "../base/log.ts";
import { seededRandom, systemRandom } from "../base/random.ts";
import { call, openEvents, sendReport } from "./box-client.fake.ts";
import { startCursorAgent } from "./cursor-agent.fake.ts";
import { addBox, addOperators, type LiveHub, startLiveHub, VIEWER } from "./live-hub.fake.ts";
import { DEFAULT_REDIS_OPTIONS } from "./store/redis/redis-options.ts";
import { createRedisStore } from "./store/redis/redis-store.ts";
import { reportOf, stream } from "./store/store.fake.ts";
import type { Store } from "./store/store.ts";

async function redis(life: AsyncDisposableStack): Promise<RedisServer> {
  return life.use(await startRedis({ durable: true }));
}

async function storeOn(life: AsyncDisposableStack, { host, port }: RedisServer): Promise<Store> {
  const store = await createRedisStore(
    { ...DEFAULT_REDIS_OPTIONS, host, port },
    { clock: systemClock, random: systemRandom, log: createMemoryLog(), newId: () => randomBytes(6).toString("hex") },
  );
  return life.adopt(store, () => store.close().catch(() => undefined));
}

async function hubOn(life: AsyncDisposableStack, server: RedisServer, hubId: string): Promise<LiveHub> {
  const hub = await startLiveHub({ store: await storeOn(life, server), hubId, options: { manyHubs: true } });
  return life.adopt(hub, () => hub.close());
}

const now = () => ({ nowMs: systemClock.wallMs() });
const ROUNDS = 4;

test
  .skipIf(redisRefusal !== undefined)
  .concurrent(
    "two hubs on one Redis: whichever is stopped properly, no agent misses a revision or gets one twice, and cursors carry over",
    { timeout: 200_000 },
    async ({ expect }) => {
      await using life = new AsyncDisposableStack();
      const server = await redis(life);
      const store = await storeOn(life, server);
      const hubs: LiveHub[] = [await hubOn(life, server, "one"), await hubOn(life, server, "two")];
      const origins = () => hubs.map(({ origin }) => origin);
      const ids = Array.from({ length: 10 }, (_one, at) => `box-${at}`);
      const keys = new Map(await Promise.all(ids.map(async (id) => [id, await addBox(store, id)] as const)));
      const agents = ids.map((boxId) => startCursorAgent({ boxId, key: () => keys.get(boxId) ?? "", origins }));
      const random = seededRandom(4);
      const written = new Map(ids.map((id) => [id, 0]));
      for (let round = 0; round < ROUNDS; round++) {
        for (let at = 0; at < 20; at++) {
          const id = ids[Math.floor(random() * ids.length)] ?? "box-0";
          await store.expected.change(id, { put: [stream("cam", `rtsp://camera/${round}/${at}`)] }, now());
          written.set(id, (written.get(id) ?? 0) + 1);
          if (at === 10) {
            const victim = random() < 0.5 ? 0 : 1;
            await hubs[victim]?.close();
            hubs[victim] = await hubOn(life, server, `${victim}-${round}`);
          }
        }
      }
      for (const [at, id] of ids.entries()) {
        const { epoch } = await store.expected.get(id);
        await expect.poll(() => agents[at]?.cursor(), { timeout: 20_000 }).toBe(`${epoch}.${written.get(id)}`);
      }
      await Promise.all(agents.map(({ stop }) => stop()));
      expect(agents.flatMap(({ faults }) => faults)).toEqual([]);
    },
  );

test
  .skipIf(redisRefusal !== undefined)
  .concurrent(
    "A3: a command made through one hub is sent once by whichever has the box's newest connection",
    { timeout: 60_000 },
    async ({ expect }) => {
      await using life = new AsyncDisposableStack();
      const server = await redis(life);
      const store = await storeOn(life, server);
      const one = await hubOn(life, server, "one");
      const two = await hubOn(life, server, "two");
      const key = await addBox(store, "b");
      using older = await openEvents(`${one.origin}/v1/boxes/b/events`, { token: key });
      await older.until(() => true);
      using newer = await openEvents(`${two.origin}/v1/boxes/b/events`, { token: key });
      await newer.until(() => true);
      for (let at = 0; at < 10; at++) {
        const deadlineMs = systemClock.wallMs() + 30_000;
        await store.commands.create("b", { id: `c-${at}`, name: "x", args: {}, deadlineMs }, now());
      }
      await newer.until(({ data }) => JSON.stringify(data).includes("c-9"));
      const sent = newer.events.filter(({ name }) => name === "command").length;
      expect(sent + older.events.filter(({ name }) => name === "command").length).toBe(10);
      expect(sent).toBe(10);
    },
  );

test
  .skipIf(redisRefusal !== undefined)
  .concurrent(
    "Redis frozen, killed and started again: 503 with the reason, connections stay, and all converges after",
    { timeout: 120_000 },
    async ({ expect }) => {
      await using life = new AsyncDisposableStack();
      const server = await redis(life);
      const store = await storeOn(life, server);
      await addOperators(store);
      const hub = await hubOn(life, server, "one");
      const key = await addBox(store, "b");
      using box = await openEvents(`${hub.origin}/v1/boxes/b/events`, { token: key });
      await box.until(() => true);
      for (const [sequence, fail, mend] of [
        [1, () => server.signal("SIGSTOP"), () => server.signal("SIGCONT")],
        [2, () => server.kill(), () => server.start()],
      ] as const) {
        await fail();
        await systemClock.delay(3500);
        const refused = await sendReport(hub.origin, key, reportOf("b", "s", sequence));
        expect(refused).toMatchObject({ status: 503, body: { error: { code: "store-unavailable" } } });
        expect((await call(`${hub.origin}/v1/events`, { token: VIEWER })).status).toBe(503);
        expect(box.isOpen()).toBe(true);
        await mend();
        await expect
          .poll(async () => (await sendReport(hub.origin, key, reportOf("b", "s", sequence + 10))).status, {
            timeout: 20_000,
          })
          .toBe(202);
        // The test's own connection comes back by itself too, and not at the same moment.
        await expect
          .poll(() =>
            store.boxes.get("b").then(
              () => true,
              () => false,
            ),
          )
          .toBe(true);
        await store.expected.change("b", { put: [stream("cam", `rtsp://camera/${sequence}`)] }, now());
        await box.until(({ name, id }) => name === "change" && id?.endsWith(`.${sequence}`) === true, {
          timeoutMs: 30_000,
        });
      }
      expect(box.events.map(({ name }) => name)).toEqual(["expected", "change", "change"]);
    },
  );
