import { afterEach, beforeEach, expect, it } from "vitest";
import { EndReason } from "../contract/proto/sluice/router/v1/router_pb.js";
import { HANDED_ON_HEADER } from "./peer-call.ts";
import {
  followJoin,
  frameMessage,
  joinMessage,
  joinRouter,
  openCall,
  type RouterUnderTest,
  startRouter,
  ticketFor,
} from "./router.fake.ts";
import type { RouterPeers } from "./router.ts";

/** Tickets are for `right`; whoever joins comes to `wrong`. */
let right: RouterUnderTest;
let wrong: RouterUnderTest;
let known: Record<string, string>;
beforeEach(async () => {
  known = {};
  const peers: RouterPeers = {
    get: (id) => (known[id] === undefined ? undefined : { id, url: known[id] }),
    refresh: async () => {
      known["router-1"] = right.url;
    },
  };
  right = await startRouter({}, { peers });
  wrong = await startRouter({ id: "router-2" }, { peers });
});
afterEach(() => Promise.all([right.close(), wrong.close()]));

async function pair(sid = "s-1") {
  const operator = wrong.join({ sid });
  await operator.until("waiting");
  const box = wrong.join({ sid, side: "box" });
  await Promise.all([operator.until("joined"), box.until("joined")]);
  return { operator, box };
}

it("hands a call on to the router that its ticket is for, frame by frame, with its end", async () => {
  const operator = wrong.join();
  expect(await operator.until("waiting")).toBeDefined();
  const box = right.join({ side: "box" });
  const joined = await operator.until("joined");
  expect(joined).toMatchObject({ message: { value: { routerId: "router-1", sessionId: "s-1" } } });
  expect([right.router.list().length, wrong.router.list().length]).toEqual([1, 0]);
  expect(wrong.router.metrics()).toContain("router_grpc_calls_handed_on 1");
  const sent = [1, 127, 128, 70_000, 2_000_000].map((length) => Buffer.alloc(length, length % 251));
  for (const frame of sent) {
    operator.sendFrame(frame);
    box.sendFrame(frame);
  }
  const expected = sent.map((frame) => frameMessage(frame).subarray(5));
  for (const side of [operator, box]) {
    const frames = await side.untilFrames(sent.length);
    expect(frames.map((frame, index) => frame.equals(expected[index] ?? Buffer.alloc(0)))).toEqual(
      sent.map(() => true),
    );
  }
  operator.stream.end();
  expect(await box.until("ended")).toMatchObject({ message: { value: { reason: EndReason.PEER_DONE } } });
  box.sendFrame(Buffer.from("last"));
  box.stream.end();
  expect((await operator.untilFrames(sent.length + 1)).at(-1)?.subarray(-4).toString()).toBe("last");
  expect(await operator.closed).toMatchObject({ rst: 0, status: "0" });
  expect(operator.endReason).toBe(EndReason.PEER_DONE);
  await expect.poll(() => wrong.router.metrics()).toContain("router_grpc_calls_handed_on 0");
});

it("hands on what the other router refuses in its own words, and spends no ticket by itself", async () => {
  const ticket = ticketFor();
  const first = joinRouter(wrong.connect(), ticket);
  await first.until("waiting");
  expect(await joinRouter(wrong.connect(), ticket).closed).toMatchObject({
    status: "16",
    text: expect.stringContaining("used before"),
  });
  expect(await joinRouter(wrong.connect(), `${ticketFor().slice(0, -12)}AAAAAAAAAAAA`).closed).toMatchObject({
    status: "16",
  });
  first.stream.close();
  await expect.poll(() => right.router.list()).toEqual([]);
});

it("goes one step and no more, and says at once where there is nobody", async () => {
  const headers = { [HANDED_ON_HEADER]: "router-3" };
  const side = followJoin(openCall(wrong.connect(), "/sluice.router.v1.RouterService/Join", headers));
  side.sendRaw(joinMessage(ticketFor()));
  expect(await side.closed).toMatchObject({ status: "14", text: expect.stringContaining("join again") });

  expect(await wrong.join({ aud: "router-9" }).closed).toMatchObject({
    status: "14",
    text: "the ticket is for the router router-9, of which router-2 has not heard",
  });
  known["router-9"] = "http://127.0.0.1:1";
  expect(await wrong.join({ aud: "router-9" }).closed).toMatchObject({
    status: "14",
    text: expect.stringContaining("router-9, which cannot be reached"),
  });
});

it("a reader that does not read holds its sender back through both", async () => {
  const { operator, box } = await pair();
  operator.stream.pause();
  const frame = Buffer.alloc(1_000_000);
  const total = 40;
  for (let turn = 0; turn < total; turn++) box.sendFrame(frame);
  // What no router takes waits at its sender.
  await expect.poll(() => box.stream.writableLength).toBeGreaterThan(10_000_000);
  const other = await pair("s-2");
  other.box.sendFrame(Buffer.from("here"));
  await other.operator.untilFrames(1);
  operator.stream.resume();
  expect(await operator.untilFrames(total)).toHaveLength(total);
});

it("ends what passes when either router ends, so that both ends join again", async () => {
  const one = await pair();
  const drained = wrong.router.drain(10_000);
  expect(await wrong.join({ sid: "s-3" }).closed).toMatchObject({ status: "14" });
  expect((await one.operator.closed).rst).not.toBe(0);
  await Promise.all([one.box.closed, drained]);
  await expect.poll(() => right.router.list()).toEqual([]);
});

it("breaks off what passes when the other router is gone", async () => {
  const { operator, box } = await pair();
  await right.close();
  expect((await Promise.all([operator.closed, box.closed])).map(({ rst }) => rst === 0)).toEqual([false, false]);
  right = await startRouter();
});
