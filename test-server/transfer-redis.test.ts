import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { messageOf } from "../src/base/errors.ts";
import { digestTree } from "../src/worker/digest-tree.fake.ts";
import { redisRefusal, startRedis } from "./redis-server.ts";
import { createTransferWorld, type TransferWorld } from "./transfer-world.ts";

const MIB = 1024 * 1024;
const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const STREAMS = 2;
const BIG_BYTES = (isLong ? 160 : 24) * MIB + 5;
/** More than hubs wait for Redis; the long one is longer than leases are alive without a word. */
const AWAY_MS = isLong ? 20_000 : 2000;
/** Until workers believe that nobody knows them any more, and what was on its way then. */
const STRANGER_MS = 40_000;
/** Hellos, plans, hashes. */
const TALK_BYTES = 2 * MIB;
const LIMIT_MS = 240_000;

async function begin(redis: { readonly host: string; readonly port: number }) {
  const world = await createTransferWorld({
    agentArguments: ["--transfer-max-streams", String(STREAMS)],
    storeUrl: `redis://${redis.host}:${redis.port}`,
  });
  const tree = join(world.from, "day 1");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "big"), randomBytes(BIG_BYTES));
  for (let index = 0; index < 100; index++) writeFileSync(join(tree, `sub/f${index}`), randomBytes(index * 100));
  const copy = join(world.to, "copy");
  const request = {
    request_id: "day-1",
    source_path: tree,
    destination_path: copy,
    chunk_size_mb: 4,
    bandwidth_mbps: 80,
  };
  return { world, tree, copy, request };
}

const past = (world: TransferWorld, part: number) =>
  world.until(
    async () => ((await world.progress("day-1").catch(() => undefined))?.transferred_bytes ?? 0) >= BIG_BYTES * part,
    `${part * 100} %`,
  );

async function expectWhole(world: TransferWorld, { tree, copy }: { readonly tree: string; readonly copy: string }) {
  const end = await world.until(async () => {
    const now = await world.progress("day-1").catch(() => undefined);
    return now?.state === "COMPLETED" || now?.state === "FAILED" ? now : undefined;
  }, "its end");
  expect(end).toMatchObject({ state: "COMPLETED", failures: [] });
  expect(digestTree(copy)).toEqual(digestTree(tree));
  expect(readdirSync(join(world.to, ".sluice-transfer")).filter((name) => !name.startsWith("m-"))).toEqual([]);
}

const refusalOf = (asked: Promise<unknown>) => asked.then(() => "nothing was refused", messageOf);

describe.skipIf(redisRefusal !== undefined)(
  `a transfer${redisRefusal === undefined ? "" : ` (${redisRefusal})`}`,
  () => {
    it.concurrent("goes on while Redis is killed, begun again and frozen; who asks is told why, and what was on its way is not sent again", {
      timeout: LIMIT_MS,
    }, async ({ expect: check }) => {
      await using redis = await startRedis({ durable: true });
      const { world, tree, copy, request } = await begin(redis);
      await using _ = world;
      // Nothing is given out while Redis is away: what is under way has to last for longer.
      await world.submit({ ...request, chunk_size_mb: 1024, bandwidth_mbps: 24 });
      for (const [part, fail, mend] of [
        [0.1, () => redis.kill(), () => redis.start()],
        [isLong ? 0.5 : 0.4, async () => redis.signal("SIGSTOP"), async () => redis.signal("SIGCONT")],
      ] as const) {
        await past(world, part);
        await fail();
        const failedMs = systemClock.monotonicMs();
        const before = world.movedBytes();
        check(await refusalOf(world.submit({ ...request, request_id: "other" }))).toMatch(
          /503 .*store-unavailable.*Redis at 127\.0\.0\.1:/,
        );
        await world.until(
          () => world.movedBytes() > Math.min(before + MIB, BIG_BYTES),
          "that bytes move on without Redis",
        );
        await systemClock.delay(Math.max(0, AWAY_MS - (systemClock.monotonicMs() - failedMs)));
        await mend();
      }
      await expectWhole(world, { tree, copy });
      check(world.movedBytes() - BIG_BYTES).toBeLessThan(TALK_BYTES + STREAMS * 8 * MIB);
      process.stderr.write(
        `Redis away twice: ${((world.movedBytes() - BIG_BYTES) / 1e6).toFixed(1)} MB more than the tree\n`,
      );
    });

    it.concurrent("of which Redis was emptied is nobody's any more; asked for again, it sends nothing that has landed or lies staged", {
      timeout: LIMIT_MS,
    }, async ({ expect: check }) => {
      await using redis = await startRedis({ durable: true });
      const { world, tree, copy, request } = await begin(redis);
      await using _ = world;
      await world.submit(request);
      await past(world, 0.5);
      // What is under way for long after.
      const slow = {
        ...request,
        request_id: "slow",
        destination_path: `${copy}-2`,
        chunk_size_mb: 1024,
        bandwidth_mbps: 8,
      };
      if (isLong) {
        await world.submit(slow);
        await world.until(
          async () => (await world.progress("slow")).transferred_bytes > MIB,
          "that the slow one moves",
        );
      }
      await redis.empty();
      if (isLong) await expectStopped(world);
      await world.beginAnew();
      const before = world.movedBytes();
      // What was taken for day-1 before is another one's by now, and it is not there.
      check(await refusalOf(world.progress("day-1"))).toMatch(/404/);
      if (isLong) {
        // Its staging goes as that of any.
        await world.submit(slow);
        await world.until(async () => (await world.progress("slow")).transferred_bytes > MIB, "that it moves again");
        await world.hub().call("DELETE", "/sync/slow");
      }
      await world.submit(request);
      await expectWhole(world, { tree, copy });
      const again = world.movedBytes() - before;
      // What was not whole of the ranges under way is sent once more.
      check(again).toBeLessThan(BIG_BYTES * 0.5 + STREAMS * 4 * MIB + TALK_BYTES + (isLong ? 8 * MIB : 0));
      process.stderr.write(
        `Redis emptied at half of it: ${(again / 1e6).toFixed(1)} MB of ${(BIG_BYTES / 1e6).toFixed(1)} MB sent after\n`,
      );
    });
  },
);

/** Nobody tells workers that they are fenced: that their box is not known any more does. */
async function expectStopped(world: TransferWorld): Promise<void> {
  const fromMs = systemClock.monotonicMs();
  let [bytes, sinceMs] = [world.movedBytes(), fromMs];
  while (systemClock.monotonicMs() - fromMs < STRANGER_MS && systemClock.monotonicMs() - sinceMs < 5000) {
    await systemClock.delay(250);
    const now = world.movedBytes();
    if (now - bytes > 64 * 1024) [bytes, sinceMs] = [now, systemClock.monotonicMs()];
  }
  const stoppedMs = sinceMs - fromMs;
  process.stderr.write(`Redis emptied: nothing moves after ${(stoppedMs / 1000).toFixed(1)} s\n`);
  expect(systemClock.monotonicMs() - sinceMs).toBeGreaterThanOrEqual(5000);
  expect(world.movedBytes()).toBeLessThan(BIG_BYTES);
}
