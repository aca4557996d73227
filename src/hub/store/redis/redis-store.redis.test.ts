import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RedisServer, redisRefusal, startRedis } from "../../../../test-server/redis-server.ts";
import { systemClock } from "../../../base/clock.ts";
import { AppError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { systemRandom } from "../../../base/random.ts";
import { describeStore } from "../store.contract.ts";
import { enrol, NOW, stream } from "../store.fake.ts";
import type { Store } from "../store.ts";
import type { RedisOptions } from "./redis-options.ts";
import { DEFAULT_REDIS_OPTIONS } from "./redis-options.ts";
import { createRedisStore } from "./redis-store.ts";

const silent: Log = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined };

function openStore(options: Partial<RedisOptions>): Store {
  const deps = { newId: randomUUID, clock: systemClock, random: systemRandom, log: silent };
  return createRedisStore({ ...DEFAULT_REDIS_OPTIONS, commandTimeoutMs: 1000, ...options }, deps);
}

/** A store that is closed with the test. */
function useStore(options: Partial<RedisOptions>): { readonly store: Store } & AsyncDisposable {
  const store = openStore(options);
  return { store, [Symbol.asyncDispose]: () => store.close() };
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "resolved";
  } catch (thrown) {
    return thrown instanceof AppError ? thrown.code : String(thrown);
  }
}

/** Ports of the replicas that a Sentinel could choose: it must have heard of one before it can. */
async function replicasKnownTo(sentinel: RedisServer, password: string): Promise<readonly string[]> {
  const client = new Redis({ port: sentinel.port, host: sentinel.host, password, protocol: 2 });
  try {
    const replicas = (await client.call("SENTINEL", "replicas", "fleet")) as string[][];
    return replicas.flatMap((fields) =>
      fields[fields.indexOf("master-link-status") + 1] === "ok" ? [fields[5] ?? ""] : [],
    );
  } finally {
    client.disconnect();
  }
}

describe.skipIf(redisRefusal !== undefined)("with a real Redis", () => {
  let shared: RedisServer | undefined;
  beforeAll(async () => {
    shared = await startRedis();
  });
  afterAll(async () => {
    await shared?.[Symbol.asyncDispose]();
  });

  describeStore("a store in Redis, through two hubs", async () => {
    const options = { port: shared?.port ?? 0, prefix: `test-${randomUUID()}` };
    const store = openStore(options);
    const other = openStore(options);
    return {
      store,
      other,
      close: async () => {
        await store.close();
        await other.close();
      },
    };
  });

  test("two fleets with prefixes of their own share one Redis and see nothing of each other", async () => {
    const port = shared?.port ?? 0;
    await using one = useStore({ port, prefix: `one-${randomUUID()}` });
    await using other = useStore({ port, prefix: `other-${randomUUID()}` });
    await enrol(one.store, "b");
    expect((await other.store.boxes.list({}, { limit: 10 })).items).toEqual([]);
  });

  test.concurrent("a wrong password is said in the error, and the right one comes in", async ({ expect }) => {
    await using server = await startRedis({ password: "open-sesame" });
    await using right = useStore({ port: server.port, password: "open-sesame" });
    await using wrong = useStore({ port: server.port, password: "let-me-in" });
    await enrol(right.store, "b");
    await expect.poll(() => wrong.store.ping().catch(String)).toMatch(/WRONGPASS/);
    const message = await wrong.store.ping().catch(String);
    expect(await codeOf(wrong.store.ping())).toBe("store-unavailable");
    expect(message).not.toMatch(/let-me-in/);
  });

  test.concurrent("a Redis that forgets when it stops is warned of, and one that does not is not", async () => {
    await using careless = await startRedis();
    await using careful = await startRedis({ durable: true });
    const warnings = async ({ port }: RedisServer): Promise<readonly string[]> => {
      const said: string[] = [];
      const deps = { newId: randomUUID, clock: systemClock, random: systemRandom };
      const store = createRedisStore(
        { ...DEFAULT_REDIS_OPTIONS, port },
        { ...deps, log: { ...silent, warn: (text) => said.push(text) } },
      );
      await store.ping();
      await store.ping();
      await store.close();
      return said;
    };
    expect(await warnings(careless)).toEqual([expect.stringMatching(/appendonly yes/)]);
    expect(await warnings(careful)).toEqual([]);
  });

  test.concurrent("TLS is spoken, and a server that nobody vouches for is refused", async () => {
    await using server = await startRedis({ tls: true });
    await using trusting = useStore({ port: server.port, tls: { ca: server.ca ?? "" } });
    await using careful = useStore({ port: server.port, tls: {} });
    await using plain = useStore({ port: server.port });
    await enrol(trusting.store, "b");
    expect((await trusting.store.boxes.get("b"))?.id).toBe("b");
    expect(await codeOf(careful.store.ping())).toBe("store-unavailable");
    expect(await codeOf(plain.store.ping())).toBe("store-unavailable");
  });

  test.concurrent("a frozen Redis fails verbs within a bounded time, and they go on when it thaws", async ({
    expect,
  }) => {
    await using server = await startRedis();
    await using hub = useStore({ port: server.port });
    await enrol(hub.store, "b");
    server.signal("SIGSTOP");
    for (let n = 0; n < 3; n++) {
      // Timers of one process fire in their order, however little of the machine it gets.
      const late = systemClock.delay(2500).then(() => "late");
      expect(await Promise.race([codeOf(hub.store.expected.get("b")), late])).toBe("store-unavailable");
    }
    server.signal("SIGCONT");
    await expect.poll(() => codeOf(hub.store.ping()), { timeout: 10_000 }).toBe("resolved");
    expect(await hub.store.expected.change("b", { put: [stream("a")] }, { nowMs: NOW })).toMatchObject({ revision: 1 });
  });

  test.concurrent("a Redis that is killed and started again loses nothing that was acknowledged, and hubs come back by themselves", async ({
    expect,
  }) => {
    await using server = await startRedis({ durable: true });
    await using one = useStore({ port: server.port, prefix: "f" });
    await using other = useStore({ port: server.port, prefix: "f" });
    const hints: string[] = [];
    other.store.onHint(({ kind }) => hints.push(kind));
    await enrol(one.store, "b");
    const acknowledged: number[] = [];
    const deadline = performance.now() + 4000;
    const write = async (hub: Store, name: string) => {
      for (let n = 0; performance.now() < deadline; n++) {
        const request = { id: `${name}-${n}`, bodyHash: "h" };
        const asked = { put: [stream(`${name}-${n % 20}`, `rtsp://camera/${name}/${n}`)] };
        while (performance.now() < deadline) {
          try {
            acknowledged.push((await hub.expected.change("b", asked, { nowMs: NOW, request })).revision);
            break;
          } catch (thrown) {
            expect(thrown).toMatchObject({ code: "store-unavailable" });
            await systemClock.delay(20);
          }
        }
      }
    };
    const kill = async () => {
      for (let n = 0; n < 3; n++) {
        await systemClock.delay(700);
        await server.kill();
        await server.start();
      }
    };
    await Promise.all([write(one.store, "x"), write(other.store, "y"), kill()]);
    await expect.poll(() => codeOf(one.store.ping()), { timeout: 10_000 }).toBe("resolved");
    const { epoch, revision } = await one.store.expected.get("b");
    expect(acknowledged.length).toBeGreaterThan(20);
    expect(new Set(acknowledged).size).toBe(acknowledged.length);
    expect(revision).toBeGreaterThanOrEqual(Math.max(...acknowledged));
    const from = Math.max(0, revision - 256);
    const after = await one.store.expected.after("b", `${epoch}.${from}`, 1000);
    expect(after.kind === "changes" && after.changes.map((change) => change.revision)).toEqual(
      Array.from({ length: revision - from }, (_, n) => from + n + 1),
    );
    expect(hints).toContain("all");
  });

  test.concurrent("a Redis that is killed while many boxes are changed in one step has changed all of them, or none", async ({
    expect,
  }) => {
    await using server = await startRedis({ durable: true });
    await using hub = useStore({ port: server.port });
    const ids = Array.from({ length: 20 }, (_, n) => `m-${n}`);
    for (const id of ids) await enrol(hub.store, id);
    const deadline = performance.now() + 3000;
    let acknowledged = 0;
    const write = async () => {
      for (let n = 0; performance.now() < deadline; n++) {
        const writes = [{ entries: [stream(`s-${n % 20}`, `rtsp://camera/${n}`)] }];
        try {
          const [one] = await hub.store.expected.settle(ids, () => ({ writes }), NOW);
          if (one !== undefined && "answer" in one) acknowledged = one.answer.revision;
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: "store-unavailable" });
          await systemClock.delay(20);
        }
      }
    };
    const kill = async () => {
      for (let n = 0; n < 3; n++) {
        await systemClock.delay(600);
        await server.kill();
        await server.start();
      }
    };
    await Promise.all([write(), kill()]);
    await expect.poll(() => codeOf(hub.store.ping()), { timeout: 10_000 }).toBe("resolved");
    const sets = await Promise.all(ids.map((id) => hub.store.expected.get(id)));
    expect(new Set(sets.map(({ revision }) => revision)).size).toBe(1);
    expect(acknowledged).toBeGreaterThan(20);
    expect(sets[0]?.revision).toBeGreaterThanOrEqual(acknowledged);
  });

  test.concurrent("Sentinel leads to the new master after a failover, and what the replica had acknowledged is there", async ({
    expect,
  }) => {
    const password = "open-sesame";
    await using master = await startRedis({ password, durable: true });
    await using replica = await startRedis({ password, replicaOf: master.port, durable: true });
    await using direct = useStore({ port: master.port, password, replicas: 1 });
    await expect.poll(() => codeOf(enrol(direct.store, `b-${randomUUID()}`)), { timeout: 20_000 }).toBe("resolved");
    await using sentinel = await startRedis({ password, sentinelOf: master.port });
    await using hub = useStore({
      password,
      sentinel: { masterName: "fleet", nodes: [{ host: sentinel.host, port: sentinel.port }], password },
      replicas: 1,
    });
    await expect.poll(() => codeOf(hub.store.ping()), { timeout: 10_000 }).toBe("resolved");
    await enrol(hub.store, "b");
    await hub.store.expected.change("b", { put: [stream("a")] }, { nowMs: NOW });
    await expect.poll(() => replicasKnownTo(sentinel, password), { timeout: 20_000 }).toContain(String(replica.port));
    await master.kill();
    await expect.poll(() => codeOf(hub.store.ping()), { timeout: 30_000, interval: 200 }).toBe("resolved");
    expect(await hub.store.expected.get("b")).toMatchObject({ revision: 1, entries: [{ workload: { id: "a" } }] });
    expect(await codeOf(hub.store.expected.change("b", { put: [stream("c")] }, { nowMs: NOW }))).toBe(
      "store-unavailable",
    );
  });
});
