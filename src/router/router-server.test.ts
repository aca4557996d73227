import { constants } from "node:http2";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { prefixMessage } from "../base/grpc/grpc-messages.ts";
import { EndReason } from "../contract/proto/sluice/router/v1/router_pb.js";
import {
  followJoin,
  frameMessage,
  joinRouter,
  openCall,
  type RouterUnderTest,
  startRouter,
  ticketFor,
} from "./router.fake.ts";

const JOIN = "/sluice.router.v1.RouterService/Join";

describe("a router over HTTP/2", () => {
  let world: RouterUnderTest;
  beforeEach(async () => {
    world = await startRouter();
  });
  afterEach(() => world.close());

  async function pair(sid = "s-1") {
    const operator = world.join({ sid, side: "operator" });
    const box = world.join({ sid, side: "box" });
    await Promise.all([operator.until("joined"), box.until("joined")]);
    return { operator, box };
  }

  it.each(["operator", "box"] as const)("brings both together when %s comes first", async (first) => {
    const one = world.join({ side: first });
    const waiting = await one.until("waiting");
    expect(waiting.message.value).toMatchObject({ waitedMs: 0 });
    const other = world.join({ side: first === "box" ? "operator" : "box" });
    const [joined] = await Promise.all([one.until("joined"), other.until("joined")]);
    expect(joined.message.value).toMatchObject({ sessionId: "s-1", routerId: "router-1", peerClient: "test/1" });
    one.sendFrame(Buffer.from([8, 1]));
    other.sendFrame(Buffer.from([8, 2, 3]));
    expect(await other.untilFrames(1)).toEqual([Buffer.from([0x12, 2, 8, 1])]);
    expect(await one.untilFrames(1)).toEqual([Buffer.from([0x12, 3, 8, 2, 3])]);
    expect(world.events.map(({ kind }) => kind)).toEqual(["waiting", "open"]);
    expect(world.router.list()).toMatchObject([{ id: "s-1", state: "open", sides: ["operator", "box"] }]);
  });

  it("relays what was sent before the other side came", async () => {
    const operator = world.join();
    operator.sendFrame(Buffer.from([8, 1]));
    await operator.until("waiting");
    const box = world.join({ side: "box" });
    expect(await box.untilFrames(1)).toEqual([Buffer.from([0x12, 2, 8, 1])]);
  });

  it("relays any frames byte for byte, wherever they are cut, in both directions", async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 2000 }), { minLength: 1, maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 6 }),
        async (frames, cuts) => {
          run += 1;
          const { operator, box } = await pair(`fuzz-${run}`);
          for (const [from, to] of [
            [operator, box],
            [box, operator],
          ] as const) {
            const wire = Buffer.concat(frames.map(frameMessage));
            for (let at = 0, turn = 0; at < wire.length; turn++) {
              const cut = cuts[turn % cuts.length] ?? 1;
              from.sendRaw(wire.subarray(at, at + cut));
              at += cut;
            }
            const got = await to.untilFrames(frames.length);
            expect(Buffer.concat(got.map((frame) => prefixMessage(frame))).equals(wire)).toBe(true);
          }
          operator.stream.end();
          box.stream.end();
          await Promise.all([operator.closed, box.closed]);
        },
      ),
      { numRuns: 25 },
    );
  });

  it("carries the largest message and refuses a larger one as it stands at a boundary", async () => {
    const { operator, box } = await pair();
    const largest = Buffer.alloc(4 * 1024 * 1024 - 5, 8);
    operator.sendFrame(largest);
    const [got] = await box.untilFrames(1);
    expect(got?.length).toBe(4 * 1024 * 1024);
    operator.sendFrame(Buffer.alloc(largest.length + 1, 8));
    await Promise.all([operator.closed, box.closed]);
    expect([operator.endReason, box.endReason]).toEqual([EndReason.PROTOCOL, EndReason.PROTOCOL]);
    expect(await operator.closed).toMatchObject({ status: "0" });
  });

  it("lets nobody speak in the router's name", async () => {
    const { operator, box } = await pair();
    // One message with a frame and `ended` after it.
    operator.sendRaw(prefixMessage(Buffer.from([0x12, 1, 8, 0x1a, 2, 8, 6])));
    expect(await box.until("ended")).toMatchObject({ message: { value: { reason: EndReason.PROTOCOL } } });
    expect(box.frames).toEqual([]);
  });

  it("keeps the other direction open after one side has closed, until both have", async () => {
    const { operator, box } = await pair();
    operator.sendFrame(Buffer.from([8, 1]));
    operator.stream.end();
    expect(await box.until("ended")).toMatchObject({ message: { value: { reason: EndReason.PEER_DONE } } });
    expect(box.frames).toHaveLength(1);
    box.sendFrame(Buffer.from([8, 2]));
    expect(await operator.untilFrames(1)).toHaveLength(1);
    expect(world.router.list()).toHaveLength(1);
    box.stream.end();
    expect(await Promise.all([operator.closed, box.closed])).toMatchObject([
      { rst: 0, status: "0" },
      { rst: 0, status: "0" },
    ]);
    expect(operator.endReason).toBe(EndReason.PEER_DONE);
    expect(world.router.list()).toEqual([]);
    expect(world.events.at(-1)).toMatchObject({ kind: "ended", end: { reason: "peer-done", by: "operator" } });
  });

  it.each(["reset", "connection"] as const)("tells the other side of a broken one: %s", async (how) => {
    const { operator, box } = await pair();
    if (how === "reset") operator.stream.close(constants.NGHTTP2_CANCEL);
    else operator.stream.session?.destroy();
    expect(await box.until("ended")).toMatchObject({ message: { value: { reason: EndReason.PEER_LOST } } });
    expect(await box.closed).toMatchObject({ status: "0" });
    expect(world.router.list()).toEqual([]);
  });

  it("resets the other side where a message was cut, for no word of ours could be read there", async () => {
    const { operator, box } = await pair();
    const message = frameMessage(Buffer.alloc(1000, 8));
    operator.sendRaw(message);
    operator.sendRaw(message.subarray(0, 500));
    await box.untilFrames(1);
    // The part has gone on, too.
    await expect.poll(() => world.router.list()[0]?.bytesToBox, { interval: 20 }).toBe(message.length + 500);
    operator.stream.close(constants.NGHTTP2_CANCEL);
    expect(await box.closed).toMatchObject({ rst: constants.NGHTTP2_INTERNAL_ERROR });
    expect(box.endReason).toBeUndefined();
  });

  it("tells a side that ends in the middle of a message what is wrong", async () => {
    const { operator, box } = await pair();
    operator.sendRaw(frameMessage(Buffer.alloc(1000, 8)).subarray(0, 500));
    operator.stream.end();
    expect(await operator.until("ended")).toMatchObject({
      message: { value: { reason: EndReason.PROTOCOL, message: expect.stringContaining("middle of a message") } },
    });
    expect(await box.closed).toMatchObject({ rst: constants.NGHTTP2_INTERNAL_ERROR });
  });

  it("lets the newest of a side win; who was paired with the old one joins anew", async () => {
    const { operator, box } = await pair();
    const newer = world.join({ side: "box" });
    await newer.until("waiting");
    await Promise.all([operator.closed, box.closed]);
    expect([operator.endReason, box.endReason]).toEqual([EndReason.PEER_LOST, EndReason.REPLACED]);
    const again = world.join();
    await Promise.all([newer.until("joined"), again.until("joined")]);
    const newest = world.join({ side: "operator", att: 2 });
    await newest.until("waiting");
    await Promise.all([newer.closed, again.closed]);
    expect([newer.endReason, again.endReason]).toEqual([EndReason.PEER_LOST, EndReason.REPLACED]);
  });

  it.each([
    ["no ticket", () => "", "16", "three parts"],
    ["one that is over", () => ticketFor({ iat: 1000, exp: 2000 }), "16", "ended"],
    ["one for another router", () => ticketFor({ aud: "router-9" }), "7", "router-9"],
    ["one of the wrong side", () => ticketFor({ side: "control" }), "7", "control"],
    ["a forged one", () => `${ticketFor().slice(0, -12)}AAAAAAAAAAAA`, "16", "signature"],
  ])("refuses %s", async (_, ticket, status, text) => {
    const side = joinRouter(world.connect(), ticket());
    expect(await side.closed).toMatchObject({ status, text: expect.stringContaining(text) });
    expect(side.messages).toEqual([]);
    expect(world.router.list()).toEqual([]);
  });

  it("takes a ticket once, and for the box and operator of the session only", async () => {
    const ticket = ticketFor();
    const one = joinRouter(world.connect(), ticket);
    await one.until("waiting");
    expect(await joinRouter(world.connect(), ticket).closed).toMatchObject({
      status: "16",
      text: expect.stringContaining("used before"),
    });
    for (const claims of [{ box: "edge-002" }, { sub: "bob" }]) {
      expect(await world.join({ side: "box", ...claims }).closed).toMatchObject({ status: "7" });
    }
    expect(one.stream.closed).toBe(false);
    expect(world.router.metrics()).toContain('router_grpc_errors_total{code="PERMISSION_DENIED"} 2');
  });

  it("survives any first bytes, and answers with a status", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
        const stream = openCall(world.connect(), JOIN);
        const side = followJoin(stream);
        side.sendRaw(bytes);
        stream.end();
        const { status, rst } = await side.closed;
        expect([rst, Number(status)]).not.toEqual([0, 0]);
        expect(side.messages).toEqual([]);
      }),
      { numRuns: 60 },
    );
    const { operator } = await pair();
    expect(operator.stream.closed).toBe(false);
  });

  it("survives any bytes after the join: they reach the other side as frames, or end the session", async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 400 }), async (bytes) => {
        run += 1;
        const { operator, box } = await pair(`bytes-${run}`);
        operator.sendRaw(bytes);
        operator.stream.end();
        await Promise.race([box.until("ended").catch(() => undefined), box.closed]);
        expect([EndReason.PROTOCOL, EndReason.PEER_DONE, undefined]).toContain(box.endReason);
        box.stream.close();
      }),
      { numRuns: 60 },
    );
  });

  it("answers what is no gRPC, and methods that it does not have", async () => {
    const session = world.connect();
    const get = session.request({ ":path": "/" });
    const [headers] = await new Promise<[Record<string, unknown>]>((resolve) =>
      get.on("response", (h) => resolve([h])),
    );
    expect(headers[":status"]).toBe(415);
    get.close();
    expect(await followJoin(openCall(session, "/no.Such/Method")).closed).toMatchObject({
      status: "12",
      text: expect.stringContaining("/no.Such/Method"),
    });
  });

  it("outlives calls that are reset as soon as they are made, and connections that are gone at once", async () => {
    for (let turn = 0; turn < 20; turn++) {
      const session = world.connect();
      for (let index = 0; index < 10; index++) {
        const method = index % 2 === 0 ? "GET" : "POST";
        const stream = session.request({ ":method": method, ":path": JOIN, "content-type": "application/grpc" });
        stream.on("error", () => undefined);
        stream.close(constants.NGHTTP2_CANCEL);
      }
      const side = joinRouter(session, ticketFor({ sid: `reset-${turn}` }));
      side.stream.close(constants.NGHTTP2_CANCEL);
      await side.closed;
      if (turn % 2 === 0) session.destroy();
    }
    const { operator } = await pair("after");
    expect(operator.stream.closed).toBe(false);
    await expect.poll(() => world.router.list().map(({ id }) => id)).toEqual(["after"]);
  });

  it("terminates a session, and tells why", async () => {
    const { operator, box } = await pair();
    expect(world.router.terminate("s-1", "ended by bob")).toBe(true);
    expect(world.router.terminate("s-1", "ended by bob")).toBe(false);
    expect(await Promise.all([operator.until("ended"), box.until("ended")])).toMatchObject([
      { message: { value: { reason: EndReason.TERMINATED, message: "ended by bob" } } },
      { message: { value: { reason: EndReason.TERMINATED, message: "ended by bob" } } },
    ]);
    await Promise.all([operator.closed, box.closed]);
  });

  it("drains: refuses new joins, moves who is here, and ends", async () => {
    const { operator, box } = await pair();
    const waiting = world.join({ sid: "s-2" });
    await waiting.until("waiting");
    const drained = world.router.drain(5000);
    expect(await waiting.until("ended")).toMatchObject({ message: { value: { reason: EndReason.DRAINING } } });
    expect(await world.join({ sid: "s-3" }).closed).toMatchObject({ status: "14" });
    await Promise.all([operator.closed, box.closed]);
    expect([operator.endReason, box.endReason]).toEqual([EndReason.DRAINING, EndReason.DRAINING]);
    await drained;
  });
});
