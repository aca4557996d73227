import { expect, test } from "vitest";
import { createLink } from "../../src/agent/link/link.ts";
import { systemClock } from "../../src/base/clock.ts";
import { createMemoryLog } from "../../src/base/log.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { WireEvent } from "../../src/contract/wire-event.ts";
import { createTestServer, type TestServer } from "../server.ts";
import { FAULTS, type FaultName } from "./fault-catalog.ts";

const OPTIONS = {
  retryDelayMs: 100,
  maxRetries: 10,
  connectTimeoutMs: 1000,
  replayWindowMs: 0,
  outputTemplate: undefined,
};

const ON_THE_WIRE: ReadonlySet<FaultName> = new Set(["garbage", "huge", "wrong-type", "invalid-json", "deep"]);

/** A real link, with nothing behind it but what it delivers. */
function startLink(server: TestServer) {
  const events: WireEvent[] = [];
  let cursor: string | undefined;
  const stop = new AbortController();
  const dialsMs: number[] = [];
  const link = createLink(
    { ...OPTIONS, endpoint: server.eventsUrl },
    {
      fetch: (...given) => {
        dialsMs.push(systemClock.monotonicMs());
        return globalThis.fetch(...given);
      },
      clock: systemClock,
      random: seededRandom(1),
      log: createMemoryLog(),
      token: () => Promise.resolve("a-token-for-one-origin"),
      cursor: () => cursor,
      onEvent: (event, cursorId) => {
        events.push(event);
        cursor = cursorId ?? cursor;
      },
      onCursor: (cursorId) => {
        cursor = cursorId;
      },
    },
  );
  const done = link.run(stop.signal);
  return {
    link,
    events,
    /** When it has asked. */
    dialsMs,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await done.catch(() => undefined);
    },
  };
}

/** Delivered by either form: as a step, or in a whole set. */
const tellsOf = (id: string) => (event: WireEvent) =>
  (event.kind === "change" && event.put.some((workload) => workload.id === id)) ||
  (event.kind === "snapshot" && event.workloads.some((workload) => workload.id === id));

const put = (server: TestServer, id: string) =>
  server.putStreams({
    kind: "stream",
    id,
    spec: { input: { url: "test://bars" }, outputs: [{ url: "rtmp://h/l/k" }] },
  });

test.concurrent.for(FAULTS)("the agent's link survives: $title", async ({ name, args }, { expect }) => {
  await using server = await createTestServer({ port: 0, rtmpPort: 0, beatMs: 1000 });
  await using world = startLink(server);
  await expect.poll(() => world.link.status().state).toBe("live");
  put(server, "before");
  await expect.poll(() => world.events.some(tellsOf("before"))).toBe(true);

  server.fault(name, args.some((argument) => argument.name === "seconds") ? { seconds: 1.5 } : {});
  await expect.poll(() => server.board.active().every((fault) => fault.name === "split")).toBe(true);
  put(server, "after");
  await expect.poll(() => world.events.some(tellsOf("after")), { timeout: 20_000 }).toBe(true);
  expect(world.link.status().state).toBe("live");
  if (ON_THE_WIRE.has(name) && name !== "garbage") {
    expect(Object.values(world.link.status().badEvents).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
  }
  expect(server.log.lines().some(({ text }) => text.includes("WITH its authorization"))).toBe(false);
});

test("an agent's link never asks more often than once a second, whatever `retry:` says", async () => {
  await using server = await createTestServer({ port: 0, rtmpPort: undefined });
  await using world = startLink(server);
  await expect.poll(() => world.link.status().state).toBe("live");
  const before = world.dialsMs.length;
  server.fault("retry", { value: "0" });
  await systemClock.delay(400);
  server.fault("refuse", { seconds: 0 });
  await expect.poll(() => world.dialsMs.length).toBeGreaterThanOrEqual(before + 4);
  const gapsMs = world.dialsMs.slice(before).map((atMs, at) => atMs - (world.dialsMs[before + at - 1] ?? 0));
  // Timers are late on a busy machine, and by no more than a part of a millisecond early.
  expect(Math.min(...gapsMs)).toBeGreaterThan(999);
});
