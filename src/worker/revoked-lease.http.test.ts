import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { runWorker } from "./worker.ts";

const quiet = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined };
const LEASE = "transfer-uid:0.0:1";
const ENTRY = {
  path: "f",
  type: "file",
  size: 3,
  mtime_ns: "1",
  mode: 0o644,
  uid: 0,
  gid: 0,
  generation: "g",
} as const;

interface Told {
  readonly lease_id: string;
  readonly success: boolean;
  readonly message: string;
  readonly failures: readonly { readonly code: string }[];
}

/** A copy of which the source is to come and never does: it waits for 30 s, unless it is stopped. */
const assignmentTo = (storage: string) => ({
  request_id: "r",
  worker_id: "box",
  source_path: "/",
  destination_path: "/",
  chunk_offset: 0,
  chunk_size: 0,
  source_worker_pool: [],
  destination_worker_pool: [],
  lease_id: LEASE,
  attempt: 1,
  requested_ms: 0,
  ttl_seconds: 10,
  work: {
    kind: "copy",
    unit: "0.0",
    source: { storage_id: randomUUID(), path: "" },
    destination: { storage_id: storage, path: "to" },
    items: [{ entry: ENTRY, offset: 0, length: 3 }],
    sources: [],
    dial: "source",
    local: false,
    verify: "full",
    preserve: [],
    takes_hashes: true,
  },
});

async function openWorld() {
  const directory = mkdtempSync(join(tmpdir(), "sluice-revoked-"));
  const clock = createFakeClock();
  const seen = { results: [] as Told[], beats: [] as string[][] };
  /** What heartbeats and results are answered with; 200: they are taken. */
  const says = { beat: 200, result: 200, revoked: [] as { lease_id: string; reason: string }[] };
  let storage = "";
  let isGiven = false;
  const server = createServer(async (request, response) => {
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    const body = JSON.parse((await request.toArray()).join(""));
    const problem = { error: { code: "store-unavailable", message: "no store" } };
    if (request.url === "/workers/heartbeat") {
      seen.beats.push(body.leases.map(({ lease_id: id }: { lease_id: string }) => id));
      storage = body.storages[0].id;
      const { beat, revoked } = says;
      answer(
        beat,
        beat === 200 ? { status: "ok", heartbeat_seconds: 1, revoked, rates: [], ticket_keys: [] } : problem,
      );
    } else if (request.url === "/workers/result") {
      seen.results.push(body);
      answer(says.result, says.result === 200 ? { status: "ack" } : problem);
    } else if (body.free > 0 && !isGiven) {
      isGiven = true;
      answer(200, assignmentTo(storage));
    }
    // Else there is nothing to do, for as long as anybody waits.
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const life = new AbortController();
  const credentials = { hub: `http://127.0.0.1:${port}`, identity: { cert: "", key: "" } };
  const worker = runWorker(
    {
      workerId: "box",
      version: "0",
      logDirectory: "",
      storages: [{ path: directory, read: true, write: true }],
      endpoints: [],
      ways: ["direct"],
      maxStreams: 2,
    },
    {
      clock,
      random: () => 0,
      log: quiet,
      pid: process.pid,
      bootId: "boot",
      runProgram: () => Promise.reject(new TypeError("no program")),
      credentials: () => credentials,
      certificateSha256: () => "0".repeat(64),
      endpoints: () => [],
    },
    life.signal,
  );
  return {
    seen,
    says,
    /** Heartbeats for so long, each of them answered. */
    beatFor: async (seconds: number) => {
      const untilMs = clock.monotonicMs() + seconds * 1000;
      while (clock.monotonicMs() < untilMs) {
        const beats = seen.beats.length;
        const more = async () => {
          await clock.advance(500);
          return seen.beats.length;
        };
        await expect.poll(more, { timeout: 10_000, interval: 5 }).toBeGreaterThan(beats);
      }
    },
    advance: (ms: number) => clock.advance(ms),
    [Symbol.asyncDispose]: async () => {
      life.abort(new DOMException("the test ends", "AbortError"));
      server.closeAllConnections();
      server.close();
      await worker;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

test("a lease that the hub takes back is let go with that heartbeat, and told as fenced", async () => {
  await using world = await openWorld();
  await expect.poll(() => world.seen.beats.length).toBeGreaterThan(0);
  await world.beatFor(3);
  expect([world.seen.beats.at(-1), world.seen.results]).toEqual([[LEASE], []]);
  world.says.revoked = [{ lease_id: LEASE, reason: "its request was cancelled" }];
  await world.beatFor(1);
  await expect.poll(() => world.seen.results.length).toBe(1);
  expect(world.seen.results[0]).toMatchObject({
    lease_id: LEASE,
    success: false,
    message: "the hub has taken the lease back: its request was cancelled",
    failures: [{ code: "fenced" }],
  });
  await world.beatFor(2);
  expect(world.seen.beats.at(-1)).toEqual([]);
});

test("a hub whose store is away takes nothing from its workers, and is told what became of it until it listens", async () => {
  await using world = await openWorld();
  await expect.poll(() => world.seen.beats.length).toBeGreaterThan(0);
  await world.beatFor(2);
  Object.assign(world.says, { beat: 503, result: 503 });
  await world.beatFor(20);
  expect([world.seen.beats.at(-1), world.seen.results]).toEqual([[LEASE], []]);
  // The source does not come: that is the end of it.
  await world.beatFor(12);
  await expect.poll(() => world.seen.results.length).toBeGreaterThan(1);
  expect(world.seen.beats.at(-1)).toEqual([LEASE]);
  Object.assign(world.says, { beat: 200, result: 200 });
  await world.beatFor(30);
  expect(world.seen.results.at(-1)).toMatchObject({ lease_id: LEASE, failures: [{ code: "unreachable" }] });
  expect(world.seen.beats.at(-1)).toEqual([]);
});

test("a box that the hub does not know any more lets go of what it has after 10 s", async () => {
  await using world = await openWorld();
  await expect.poll(() => world.seen.beats.length).toBeGreaterThan(0);
  await world.beatFor(2);
  Object.assign(world.says, { beat: 401, result: 401 });
  await world.beatFor(8);
  expect([world.seen.beats.at(-1), world.seen.results]).toEqual([[LEASE], []]);
  await world.beatFor(7);
  await expect.poll(() => world.seen.results.length).toBeGreaterThan(0);
  expect(world.seen.results[0]).toMatchObject({ lease_id: LEASE, failures: [{ code: "fenced" }] });
});
