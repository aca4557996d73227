import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import type { Assignment } from "../contract/transfer/assignment.ts";
import { runWorker } from "./worker.ts";

const quiet = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined };
const LEASE = "transfer-uid:list:1";

/** Its storage is nobody's, so it fails at once. */
const ASSIGNMENT: Assignment = {
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
    kind: "list",
    source: { storage_id: randomUUID(), path: "" },
    include: [],
    exclude: [],
    preserve: [],
    next_page: 0,
  },
};

/** A hub that gives out the same work whenever it is asked for some, and takes results as it is told to. */
async function openHub(takesResults: () => boolean) {
  const seen = { results: 0, asks: [] as string[][], beats: [] as string[][] };
  /** Never answered. */
  const held: ServerResponse[] = [];
  const server = createServer(async (request, response) => {
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    const text = (await request.toArray()).join("");
    const body = JSON.parse(text);
    if (request.url === "/workers/heartbeat") {
      seen.beats.push(body.leases.map(({ lease_id: id }: { lease_id: string }) => id));
      answer(200, { status: "ok", heartbeat_seconds: 1, revoked: [], rates: [], ticket_keys: [] });
    } else if (request.url === "/workers/result") {
      seen.results += 1;
      if (takesResults()) answer(200, { status: "ack" });
      else answer(404, { error: { code: "not-found", message: "there is no such request" } });
    } else if (body.free === 0) held.push(response);
    else {
      seen.asks.push(body.leases);
      answer(200, ASSIGNMENT);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { seen, url: `http://127.0.0.1:${port}`, close };
}

test("work of which the hub does not take the result is done again after 10 s at the soonest, and is named as held until then", async () => {
  const clock = createFakeClock();
  let takes = false;
  const hub = await openHub(() => takes);
  const life = new AbortController();
  const worker = runWorker(
    { workerId: "box", version: "0", logDirectory: "", storages: [], endpoints: [], ways: ["direct"], maxStreams: 2 },
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
  const credentials = { hub: hub.url, identity: { cert: "", key: "" } };
  try {
    await expect.poll(() => hub.seen.results).toBe(1);
    const toldMs = clock.monotonicMs();
    // Its answer has arrived once the next heartbeat has, for which time has to move.
    for (let beats = hub.seen.beats.length; clock.monotonicMs() - toldMs < 9000; beats++) {
      await clock.advance(1000);
      await expect.poll(() => hub.seen.beats.length).toBeGreaterThan(beats);
      expect(hub.seen.beats.at(-1)).toEqual([LEASE]);
      expect(hub.seen.results).toBe(1);
    }
    // It has asked for more meanwhile, was given the same each time, and has not begun it once more.
    expect(hub.seen.asks.length).toBeGreaterThan(5);
    expect(hub.seen.asks.at(-1)).toEqual([LEASE]);
    takes = true;
    const later = async () => {
      await clock.advance(500);
      return hub.seen.results;
    };
    await expect.poll(later).toBe(2);
    expect(clock.monotonicMs() - toldMs).toBeGreaterThanOrEqual(10_000);
  } finally {
    life.abort(new DOMException("the test ends", "AbortError"));
    hub.close();
    await worker;
  }
});
