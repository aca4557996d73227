import { once } from "node:events";
import { connect } from "node:http2";
import { type AddressInfo, createServer, connect as dial, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { systemClock } from "../base/clock.ts";
import { EndReason } from "../contract/proto/sluice/router/v1/router_pb.js";
import { frameMessage, joinRouter, openCall, type RouterUnderTest, startRouter, ticketFor } from "./router.fake.ts";
import { WINDOW_BYTES } from "./window-grants.ts";

const SESSIONS = 200;
const MIB = 1024 * 1024;
/** Of a stream whose reader does not read: its window, and what waits to leave. */
const HELD_BYTES = WINDOW_BYTES.small + 256 * 1024;

let world: RouterUnderTest;
afterEach(() => world.close());

it(`holds little for each of ${SESSIONS} sessions whose reader does not read, and serves others beside them`, async () => {
  world = await startRouter({ windowBudgetBytes: 16 * MIB });
  const stuck = await Promise.all(
    Array.from({ length: SESSIONS }, async (_, index) => {
      const operator = world.join({ sid: `stuck-${index}`, side: "operator" });
      const box = world.join({ sid: `stuck-${index}`, side: "box" });
      await Promise.all([operator.until("joined"), box.until("joined")]);
      // It stops to read, as a paused terminal does.
      operator.stream.pause();
      return { operator, box };
    }),
  );
  const before = process.memoryUsage().rss;
  const message = frameMessage(Buffer.alloc(16 * 1024, 8));
  const sent = stuck.map(() => 0);
  // Each box sends for as long as anything is taken from it.
  for (let still = 0; still < 10; ) {
    let moved = 0;
    for (const [index, { box }] of stuck.entries()) {
      while (box.stream.writableLength < message.length * 2) {
        box.sendRaw(message);
        sent[index] = (sent[index] ?? 0) + message.length;
        moved += 1;
      }
    }
    still = moved === 0 ? still + 1 : 0;
    await systemClock.delay(20);
  }
  const grown = process.memoryUsage().rss - before;
  const total = sent.reduce((sum, bytes) => sum + bytes, 0);
  // Of each what the router holds, and what waits in the programs of both ends. Of none more: no reader has shown that its sender needs it.
  const bound = SESSIONS * (HELD_BYTES + 192 * 1024);
  expect(total).toBeLessThan(bound);
  expect(grown).toBeLessThan(2 * bound);

  // Those that read are not held up by those that do not.
  const operator = world.join({ sid: "beside" });
  const box = world.join({ sid: "beside", side: "box" });
  await operator.until("joined");
  const begun = performance.now();
  for (let index = 0; index < 50; index++) {
    operator.sendFrame(Buffer.from([8, index]));
    await box.untilFrames(index + 1);
  }
  expect(performance.now() - begun).toBeLessThan(5000);

  // And everything arrives once they read again.
  const [first] = stuck;
  first?.operator.stream.resume();
  const whole = Math.floor((sent[0] ?? 0) / message.length);
  await first?.operator.untilFrames(whole);
  expect(first?.operator.frames).toHaveLength(whole);
}, 120_000);

it("holds no more than its budget for large windows, however many readers read fast at first and stop one after the other", async () => {
  const clock = createFakeClock();
  const budget = 16 * MIB;
  world = await startRouter({ windowBudgetBytes: budget }, { clock });
  const message = frameMessage(Buffer.alloc(64 * 1024, 8));
  let held = 0;
  const turns = 12;
  for (let turn = 0; turn < turns; turn++) {
    const operator = world.join({ sid: `turn-${turn}` });
    const box = world.join({ sid: `turn-${turn}`, side: "box" });
    await Promise.all([operator.until("joined"), box.until("joined")]);
    let read = 0;
    operator.stream.on("data", (bytes: Uint8Array) => {
      read += bytes.length;
    });
    // It reads fast, which shows that its sender needs a large window, and stops.
    let sent = 0;
    for (let index = 0; index < 16; index++) {
      box.sendRaw(message);
      sent += message.length;
    }
    await expect.poll(() => read, { interval: 10 }).toBe(sent);
    operator.stream.pause();
    for (let still = 0; still < 10; ) {
      const before = sent;
      while (box.stream.writableLength < message.length * 2) {
        box.sendRaw(message);
        sent += message.length;
      }
      still = sent === before ? still + 1 : 0;
      await systemClock.delay(10);
    }
    held += sent - read - box.stream.writableLength;
    // What was granted to it is taken back, as far as it can be.
    await clock.advance(2000);
    await systemClock.delay(10);
  }
  // Those that were granted have filled their windows, and beyond the budget each holds no more than any other.
  expect(held).toBeGreaterThan(budget - 2 * MIB);
  expect(held).toBeLessThan(budget + turns * (HELD_BYTES + 128 * 1024));
}, 120_000);

it("tells of a reader that is stuck, counts it, and ends nothing for it", async () => {
  const clock = createFakeClock();
  world = await startRouter({}, { clock });
  const operator = world.join();
  const box = world.join({ side: "box" });
  await Promise.all([operator.until("joined"), box.until("joined")]);
  operator.stream.pause();
  const message = frameMessage(Buffer.alloc(64 * 1024, 8));
  for (let index = 0; index < 20; index++) box.sendRaw(message);
  await expect
    .poll(
      async () => {
        await clock.advance(1000);
        return world.router.metrics().includes("router_grpc_flow_control_timeouts_total 1");
      },
      { interval: 20 },
    )
    .toBe(true);
  expect(world.router.list()[0]?.operatorStalledMs).toBeGreaterThanOrEqual(30_000);
  operator.stream.resume();
  await operator.untilFrames(20);
  expect(world.router.list()).toMatchObject([{ state: "open", operatorStalledMs: 0 }]);
});

it("closes who does not join: the call, and the connection", async () => {
  const clock = createFakeClock();
  world = await startRouter({}, { clock });
  const session = world.connect();
  const stream = openCall(session, "/sluice.router.v1.RouterService/Join");
  stream.write(Buffer.from([0, 0]));
  const status = new Promise((resolve) => stream.on("response", (headers) => resolve(headers["grpc-status"])));
  const closed = new Promise<void>((resolve) => session.once("close", () => resolve()));
  await expect.poll(() => world.router.metrics().includes("router_grpc_connections 1"), { interval: 10 }).toBe(true);
  await clock.advance(9000);
  expect(stream.closed).toBe(false);
  await expect
    .poll(async () => {
      await clock.advance(500);
      return session.destroyed;
    })
    .toBe(true);
  expect(["4", undefined]).toContain(await Promise.race([status, closed.then(() => undefined)]));
  expect(world.router.metrics()).toContain('router_grpc_errors_total{code="DEADLINE_EXCEEDED"} 1');
  await closed;
});

it("cuts a connection whose client is silent, and keeps one that answers pings", async () => {
  const clock = createFakeClock();
  world = await startRouter({}, { clock });
  const living = world.join({ sid: "living" });
  // The way to this one will swallow what it is given: its socket stays open and nothing answers.
  const way = await openWay(world.port);
  const lost = connect(`http://127.0.0.1:${way.port}`);
  lost.on("error", () => undefined);
  const dead = joinRouter(lost, ticketFor({ sid: "dead", side: "box" }, clock.wallMs()));
  await Promise.all([living.until("waiting"), dead.until("waiting")]);
  way.freeze();
  await expect
    .poll(
      async () => {
        await clock.advance(1000);
        return world.router.list().map(({ id }) => id);
      },
      { interval: 10 },
    )
    .toEqual(["living"]);
  expect(clock.monotonicMs()).toBeGreaterThanOrEqual(40_000);
  expect(clock.monotonicMs()).toBeLessThan(60_000);
  lost.destroy();
  await way.close();
});

it("is idle-limited by its ticket, over the wire", async () => {
  const clock = createFakeClock();
  world = await startRouter({}, { clock });
  const session = world.connect();
  const operator = joinRouter(session, ticketFor({ idle: 20 }, clock.wallMs()));
  const box = world.join({ side: "box", idle: 20 });
  await Promise.all([operator.until("joined"), box.until("joined")]);
  await clock.advance(19_000);
  expect(operator.endReason).toBeUndefined();
  await clock.advance(1500);
  expect(await box.until("ended")).toMatchObject({ message: { value: { reason: EndReason.IDLE } } });
});

async function openWay(to: number) {
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = dial(to, "127.0.0.1");
    near.pipe(far);
    far.pipe(near);
    for (const socket of [near, far]) socket.on("error", () => undefined);
    sockets.push(near, far);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    freeze: () => {
      for (const socket of sockets) socket.unpipe().pause();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
