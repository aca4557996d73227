import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { LANE_READY, lanePreface } from "../contract/remote/lane-preface.ts";
import { joinRouter, type RouterUnderTest, startRouter, type TestSide, ticketFor } from "./router.fake.ts";

let world: RouterUnderTest;
const sockets: Socket[] = [];
beforeEach(async () => {
  world = await startRouter({ hasLanes: true });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await world.close();
});

/** A connection of a lane that reads when it is told to. */
function open(first: string | Uint8Array, { port } = world) {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  sockets.push(socket);
  const { promise: over, resolve } = Promise.withResolvers<void>();
  // It is kept half-open: the end of the other side is all that is heard of a cut, if it is no reset.
  socket.on("error", () => resolve());
  const end = { socket, text: "", bytes: 0, isEnded: false, over };
  socket.on("data", (bytes: Buffer) => {
    if (end.bytes < 1000) end.text += bytes.toString("latin1");
    end.bytes += bytes.length;
  });
  socket.on("end", () => {
    end.isEnded = true;
    resolve();
  });
  socket.write(first);
  return end;
}

async function joinBoth(canTakeLane = [true, true], at = world, nowMs?: number) {
  const [operator, box] = (["operator", "box"] as const).map((side, index) =>
    joinRouter(at.connect(), ticketFor({ side }, nowMs), "test/1", canTakeLane[index]),
  );
  if (operator === undefined || box === undefined) throw new Error("two sides are wanted");
  const tokens = [await tokenOf(operator), await tokenOf(box)] as const;
  return { operator, box, tokens };
}

async function tokenOf(side: TestSide): Promise<string> {
  const { message } = await side.until("joined");
  return message.case === "joined" ? message.value.laneToken : "";
}

async function meet() {
  const joined = await joinBoth();
  const [operator, box] = [open(lanePreface(joined.tokens[0])), open(lanePreface(joined.tokens[1]))];
  await expect.poll(() => [operator.text, box.text]).toEqual([LANE_READY, LANE_READY].map(String));
  for (const end of [operator, box]) Object.assign(end, { text: "", bytes: 0 });
  return { ...joined, lane: { operator, box } };
}

it("carries bytes both ways as they are, counts them, and keeps one direction when the other ends", async () => {
  const { lane } = await meet();
  lane.operator.socket.write("to the box");
  lane.box.socket.write("to the operator, and more");
  await expect.poll(() => [lane.box.text, lane.operator.text]).toEqual(["to the box", "to the operator, and more"]);
  lane.operator.socket.end();
  await expect.poll(() => lane.box.isEnded).toBe(true);
  const big = Buffer.alloc(5_000_000, 7);
  lane.box.socket.end(big);
  await expect.poll(() => lane.operator.bytes).toBe(25 + big.length);
  await expect.poll(() => lane.operator.isEnded).toBe(true);
  expect(world.router.list()).toMatchObject([{ bytesToBox: 10, bytesFromBox: 25 + big.length }]);
});

it("gives each end a token of its own, and none where an end or the router does not know lanes", async () => {
  const { tokens } = await joinBoth();
  expect(tokens[0]).toMatch(/^[0-9a-f]{32}$/);
  expect(tokens[1]).not.toBe(tokens[0]);
  expect((await joinBoth([true, false])).tokens).toEqual(["", ""]);
  const without = await startRouter();
  expect((await joinBoth([true, true], without)).tokens).toEqual(["", ""]);
  await without.close();
});

it("refuses a token that it has not given, and one that was used, and lets the ends meet all the same", async () => {
  const { tokens } = await joinBoth();
  const operator = open(lanePreface(tokens[0]));
  await expect.poll(() => world.router.metrics()).toContain("router_grpc_connections 3");
  for (const token of ["0".repeat(32), tokens[0]]) await open(lanePreface(token)).over;
  expect(world.router.metrics()).toContain('router_grpc_errors_total{code="UNAUTHENTICATED"} 2');
  const box = open(lanePreface(tokens[1]));
  await expect.poll(() => [operator.text, box.text]).toEqual([LANE_READY, LANE_READY].map(String));
  await open(lanePreface(tokens[1])).over;
  operator.socket.write("hello");
  await expect.poll(() => box.text).toBe(`${LANE_READY}hello`);
});

it.each([
  ["a token with other letters", "Z".repeat(32)],
  ["a token that does not end", "0".repeat(4000)],
])("takes %s for no lane", async (_, token) => {
  await open(lanePreface(token)).over;
});

it("reads a preface that comes byte by byte", async () => {
  const { tokens } = await joinBoth();
  const preface = lanePreface(tokens[0]);
  const operator = open(preface.subarray(0, 1));
  operator.socket.setNoDelay(true);
  for (const byte of preface.subarray(1)) {
    operator.socket.write(Buffer.of(byte));
    await new Promise((done) => setImmediate(done));
  }
  open(lanePreface(tokens[1]));
  await expect.poll(() => operator.text).toBe(String(LANE_READY));
});

it("cuts an end that says something, or leaves, before the other is there", async () => {
  for (const act of [(socket: Socket) => socket.write("x"), (socket: Socket) => socket.end()]) {
    const { tokens } = await joinBoth();
    const early = open(lanePreface(tokens[0]));
    await expect.poll(() => world.router.metrics()).toMatch(/router_grpc_connections [35]/);
    act(early.socket);
    await early.over;
    await open(lanePreface(tokens[1])).over;
  }
});

it("lets go of who says no token in time, and of an end that waits alone; their session goes on without a lane", async () => {
  const clock = createFakeClock();
  const slow = await startRouter({ hasLanes: true }, { clock });
  const { tokens } = await joinBoth([true, true], slow, clock.wallMs());
  const ends = ["", "PRI", lanePreface(tokens[0]).subarray(0, 40), lanePreface(tokens[0])].map((first) =>
    open(first, slow),
  );
  await expect.poll(() => slow.router.metrics()).toContain("router_grpc_connections 6");
  await clock.advance(12_000);
  await Promise.all(ends.map(({ over }) => over));
  await open(lanePreface(tokens[1]), slow).over;
  expect(slow.router.list()).toMatchObject([{ state: "open" }]);
  await slow.close();
});

it("holds no more for an end that does not read than one read, and tells how long that lasts", async () => {
  const { lane } = await meet();
  lane.box.socket.pause();
  const piece = Buffer.alloc(1024 * 1024, 7);
  let sent = 0;
  // What the kernel holds on both connections, and no more.
  while (
    sent < 256 &&
    (lane.operator.socket.writableLength < 4 * piece.length || (world.router.list()[0]?.boxStalledMs ?? 0) < 50)
  ) {
    if (lane.operator.socket.writableLength < 4 * piece.length) {
      lane.operator.socket.write(piece);
      sent += 1;
    }
    await new Promise((done) => setTimeout(done, 1));
  }
  expect(sent).toBeLessThan(256);
  expect(world.router.list()[0]?.operatorStalledMs).toBe(0);
  lane.box.socket.resume();
  await expect.poll(() => lane.box.bytes, { timeout: 10_000 }).toBe(sent * piece.length);
  expect(world.router.list()).toMatchObject([{ boxStalledMs: 0, bytesToBox: sent * piece.length }]);
});

it("breaks both ends when one breaks, and leaves the calls to say what it means", async () => {
  const { lane } = await meet();
  lane.operator.socket.resetAndDestroy();
  await lane.box.over;
  expect(world.router.list()).toMatchObject([{ state: "open" }]);
  await expect.poll(() => world.router.metrics()).toContain("router_grpc_lanes_active 0");
});

it.each([
  ["is ended", () => world.router.terminate("s-1", "by bob")],
  ["is drained", () => void world.router.drain(100)],
])("ends a lane with its session that %s, behind what was sent, and counts it no more at once", async (_, act) => {
  const { lane } = await meet();
  lane.operator.socket.write("the last");
  await expect.poll(() => world.router.list()[0]?.bytesToBox).toBe(8);
  expect(world.router.metrics()).toContain("router_grpc_lanes_active 1");
  act();
  await expect.poll(() => world.router.list()).toEqual([]);
  expect(world.router.metrics()).toContain("router_grpc_lanes_active 0");
  await expect.poll(() => [lane.box.isEnded, lane.operator.isEnded]).toEqual([true, true]);
  expect(lane.box.text).toBe("the last");
});

it("lets a session be idle though bytes pass on its lane, unless an end says that they are its own", async () => {
  const clock = createFakeClock();
  const idle = await startRouter({ hasLanes: true }, { clock });
  const joins = (["operator", "box"] as const).map((side) =>
    joinRouter(idle.connect(), ticketFor({ side, idle: 5 }, clock.wallMs()), "test/1", true),
  );
  const [operator, box] = joins;
  if (operator === undefined || box === undefined) throw new Error("two sides are wanted");
  const ends = [open(lanePreface(await tokenOf(operator)), idle), open(lanePreface(await tokenOf(box)), idle)];
  await expect.poll(() => ends.map(({ bytes }) => bytes)).toEqual([LANE_READY.length, LANE_READY.length]);
  for (let beats = 0; beats < 3; beats++) {
    await clock.advance(4000);
    operator.sendFrame(Buffer.of(0x08, 0x01));
    await expect.poll(() => idle.router.list()[0]?.idleMs).toBe(0);
  }
  await clock.advance(4000);
  operator.sendFrame(Buffer.alloc(0));
  ends[0]?.socket.write("a ping");
  await expect.poll(() => ends[1]?.bytes).toBe(LANE_READY.length + 6);
  await clock.advance(2000);
  expect((await operator.until("ended")).message).toMatchObject({ value: { message: "nothing was sent for 5 s" } });
  await idle.close();
});
