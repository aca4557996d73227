import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { boxViewSchema } from "../src/contract/fleet/box-view.ts";
import { expectedViewSchema } from "../src/contract/fleet/expected-view.ts";
import { createHubWorld, type HubWorld } from "./hub-world.ts";
import { redisRefusal, startRedis } from "./redis-server.ts";

/** A real hub process on a real Redis that writes each change to its disk, and a real agent with a stream. */

/** More than the agent's patience with reports and the hub's with commands to Redis. */
const AWAY_MS = 8000;

interface Answer {
  readonly status: number;
  readonly retryAfter: number;
  readonly code: string;
  readonly message: string;
}

async function ask(
  { hub }: HubWorld,
  path: string,
  given: { readonly method?: string; readonly body?: unknown; readonly key?: string } = {},
): Promise<Answer> {
  const response = await fetch(`${hub.origin}${path}`, {
    method: given.method ?? "GET",
    signal: AbortSignal.timeout(20_000),
    headers: {
      authorization: `Bearer ${hub.adminToken}`,
      ...(given.key === undefined ? {} : { "idempotency-key": given.key }),
      ...(given.body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(given.body === undefined ? {} : { body: JSON.stringify(given.body) }),
  });
  const { error } = (await response.json()) as { error?: { code: string; message: string } };
  return {
    status: response.status,
    retryAfter: Number(response.headers.get("retry-after")),
    code: error?.code ?? "",
    message: error?.message ?? "",
  };
}

test.skipIf(redisRefusal !== undefined).concurrent.each([
  {
    what: "frozen",
    fail: async (redis: Redis) => redis.signal("SIGSTOP"),
    mend: async (redis: Redis) => redis.signal("SIGCONT"),
  },
  { what: "killed and started again", fail: (redis: Redis) => redis.kill(), mend: (redis: Redis) => redis.start() },
])(
  "Redis is $what: the box goes on streaming, the API says 503 with the reason, and all converges after",
  {
    timeout: 180_000,
  },
  async ({ fail, mend }) => {
    await using redis = await startRedis({ durable: true });
    await using hubWorld = await createHubWorld({
      hub: { storeUrl: `redis://${redis.host}:${redis.port}` },
      world: { agentArguments: ["--report-interval-seconds", "1"] },
    });
    const { hub, world } = hubWorld;
    const workloads = `/v1/boxes/${world.boxId}/workloads`;
    const stream = (id: string) => ({
      workload: {
        kind: "stream",
        id,
        spec: {
          input: { url: "test://bars?size=160x120&fps=10" },
          outputs: [{ url: `${world.server.rtmp?.url}/${id}` }],
          audio: "none",
        },
      },
    });
    await hubWorld.enrol();
    await world.startAgent();
    await hub.call("PUT", `${workloads}/cam-1`, stream("cam-1"));
    const { pid } = await world.untilRunning("cam-1");
    const mediaBytes = () => world.server.rtmp?.mediaBytes("cam-1") ?? 0;

    const bytesBefore = mediaBytes();
    await fail(redis);
    const failedMs = systemClock.monotonicMs();
    const refused = await ask(hubWorld, "/v1/boxes");
    expect(refused).toMatchObject({ status: 503, code: "store-unavailable" });
    expect(refused.message).toContain(`Redis at ${redis.host}:${redis.port}`);
    expect(refused.retryAfter).toBeGreaterThan(0);
    // As balancers and service managers ask, without a token.
    const statusOf = async (path: string) => (await fetch(`${hub.origin}${path}`)).status;
    expect([await statusOf("/readyz"), await statusOf("/healthz")]).toEqual([503, 200]);
    // Whether this one is carried out nobody can know: repeated under its id it will have been, once.
    const key = randomUUID();
    const put = () => ask(hubWorld, `${workloads}/cam-2`, { method: "PUT", body: stream("cam-2"), key });
    expect(await put()).toMatchObject({ status: 503, code: "store-unavailable" });
    await systemClock.delay(Math.max(0, AWAY_MS - (systemClock.monotonicMs() - failedMs)));
    expect((await world.status()).link.state).toBe("live");
    expect((await world.workload("cam-1"))?.state).toBe("running");
    const bytesAway = mediaBytes();
    expect(bytesAway).toBeGreaterThan(bytesBefore);
    await world.until(() => mediaBytes() > bytesAway, "media goes on while Redis is away");

    await mend(redis);
    await world.until(async () => (await put()).status === 200, "the write that was refused is carried out", 30_000);
    await world.untilRunning("cam-2");
    const { revision, items } = expectedViewSchema.parse(await hub.call("GET", workloads));
    expect([revision, items.map(({ workload }) => workload.id)]).toEqual([2, ["cam-1", "cam-2"]]);
    await world.until(async () => {
      const box = boxViewSchema.parse(await hub.call("GET", `/v1/boxes/${world.boxId}`));
      const { report } = await world.status();
      const isTold = report.state === "ok" && report.queued === 0;
      return isTold && box.connection === "online" && box.applied?.revision === 2 && box.workloads.running === 2;
    }, "the hub shows the box as it is");
    const after = await world.workload("cam-1");
    expect([after?.pid, after?.restarts, world.server.rtmp?.connects("cam-1")]).toEqual([pid, 0, 1]);
  },
);

type Redis = Awaited<ReturnType<typeof startRedis>>;
