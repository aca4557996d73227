import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { messageOf } from "../src/base/errors.ts";
import { createSseDecoder } from "../src/client/sse-decoder.ts";
import { syncProgressSchema } from "../src/contract/transfer/sync-progress.ts";
import { digestTree } from "../src/worker/digest-tree.fake.ts";
import { freePort } from "./free-port.ts";
import { nginxRefusal, startNginxBalancer } from "./nginx-balancer.ts";
import { redisRefusal, startRedis } from "./redis-server.ts";
import { createTransferWorld } from "./transfer-world.ts";

const MIB = 1024 * 1024;
const isLong = process.env["SLUICE_TEST_LONG"] === "1";
/** What balancers have unless somebody sets it. The short one cuts every long poll, and events between two beats. */
const IDLE_SECONDS = isLong ? 60 : 3;
const FOR_MS = isLong ? 10 * 60_000 : 0;
const KILL_EVERY_MS = 5000;
const BYTES = 12 * MIB + 5;
const MBIT_S = 16;
/** Between two events. A lease whose answer was lost with its hub is given out again after 10 s, which the next kill may begin anew. */
const LATE_MS = isLong ? 60_000 : 20_000;
const refusal = redisRefusal ?? nginxRefusal;

/** One who watches as a browser does: it comes back, with the id that it heard last, until it has heard the end. */
async function watchThrough(origin: string, token: string, id: string) {
  const heard: { readonly id: string; readonly state: string; readonly reason: string; readonly atMs: number }[] = [];
  let cuts = 0;
  let cursor: string | undefined;
  const endMs = systemClock.monotonicMs() + 240_000;
  while (!/COMPLETED|FAILED/.test(heard.at(-1)?.state ?? "") && systemClock.monotonicMs() < endMs) {
    try {
      const response = await fetch(`${origin}/sync/${id}`, {
        headers: {
          accept: "text/event-stream",
          authorization: `Bearer ${token}`,
          ...(cursor === undefined ? {} : { "last-event-id": cursor }),
        },
      });
      const decoder = createSseDecoder();
      const text = new TextDecoder();
      if (response.ok)
        for await (const bytes of response.body ?? [])
          for (const message of decoder.push(text.decode(bytes, { stream: true }))) {
            const { state, reason } = syncProgressSchema.parse(JSON.parse(message.data));
            cursor = message.id;
            heard.push({ id: message.id, state, reason, atMs: systemClock.monotonicMs() });
          }
    } catch {
      // Cut by the balancer, or with its hub.
    }
    cuts++;
    await systemClock.delay(200);
  }
  return { heard, cuts };
}

it.skipIf(refusal !== undefined)(
  `transfers go on and are followed through a balancer that cuts what is idle for ${IDLE_SECONDS} s while hubs behind it are killed${refusal === undefined ? "" : ` (${refusal})`}`,
  { timeout: FOR_MS + 300_000 },
  async () => {
    await using redis = await startRedis({ durable: true });
    const ports = [await freePort(), await freePort(), await freePort()] as const;
    const port = await freePort();
    await using _balancer = await startNginxBalancer({ port, servers: ports, idleSeconds: IDLE_SECONDS });
    const origin = `http://127.0.0.1:${port}`;
    await using world = await createTransferWorld({
      storeUrl: `redis://${redis.host}:${redis.port}`,
      hubPort: ports[0],
      publicUrl: origin,
    });
    // Beside the world's own.
    const others = [await world.startHub(ports[1]), await world.startHub(ports[2])];
    const tree = join(world.from, "tree");
    mkdirSync(tree);
    writeFileSync(join(tree, "long"), randomBytes(BYTES));
    for (let at = 0; at < 50; at++) writeFileSync(join(tree, `f${at}`), randomBytes(at * 100));
    const whole = digestTree(tree);
    const token = world.hub().adminToken;
    const ask = async (number: number) => {
      const id = `day-${number}`;
      const body = JSON.stringify({
        request_id: id,
        source_path: tree,
        destination_path: join(world.to, id),
        chunk_size_mb: 4,
        bandwidth_mbps: MBIT_S,
      });
      // Who gets no answer asks for the same again.
      await world.until(async () => {
        const answer = await fetch(`${origin}/sync`, {
          method: "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          body,
        }).catch(() => undefined);
        await answer?.text();
        return answer?.status === 202;
      }, `that ${id} is taken`);
      return id;
    };

    let kills = 0;
    let isOver = false;
    const killOn = async () => {
      while (!isOver) {
        const untilMs = systemClock.monotonicMs() + KILL_EVERY_MS;
        while (!isOver && systemClock.monotonicMs() < untilMs) await systemClock.delay(100);
        if (isOver) return;
        // One that takes too long to start on a busy machine is begun again: the others are there meanwhile.
        const turn = kills++ % 3;
        try {
          if (turn === 0) await world.killHub();
          else {
            await others[turn - 1]?.kill();
            others[turn - 1] = await world.startHub(ports[turn]);
          }
        } catch (thrown) {
          process.stderr.write(`${messageOf(thrown)}\n`);
        }
      }
    };
    const beganMs = systemClock.monotonicMs();
    const killing = killOn();
    let transfers = 0;
    let cuts = 0;
    let events = 0;
    let longestMs = 0;
    try {
      do {
        const id = await ask(transfers++);
        const askedMs = systemClock.monotonicMs();
        const watched = await watchThrough(origin, token, id);
        const { heard } = watched;
        cuts += watched.cuts;
        events += heard.length;
        expect(heard.at(-1)).toMatchObject({ state: "COMPLETED", reason: "" });
        // Nothing is told twice in a row, and nothing is held back until the end.
        expect(heard.filter((one, at) => one.id === heard[at - 1]?.id)).toEqual([]);
        expect(heard.filter(({ state }) => state === "PROGRESS").length).toBeGreaterThan(3);
        for (const [at, { atMs }] of heard.entries()) {
          longestMs = Math.max(longestMs, atMs - (heard[at - 1]?.atMs ?? askedMs));
        }
        expect(digestTree(join(world.to, id))).toEqual(whole);
      } while (systemClock.monotonicMs() - beganMs < FOR_MS);
    } finally {
      isOver = true;
      await killing;
      for (const hub of others) await hub[Symbol.asyncDispose]();
    }
    const seconds = Math.round((systemClock.monotonicMs() - beganMs) / 1000);
    process.stderr.write(
      `balancer, ${seconds} s: ${transfers} transfers, ${kills} kills of hubs, ${events} events over ${cuts} connections, the longest pause ${Math.round(longestMs)} ms\n`,
    );
    expect(kills).toBeGreaterThan(0);
    expect(longestMs).toBeLessThan(LATE_MS);
  },
);
