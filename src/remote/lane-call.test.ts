import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createFakeClock, type FakeClock } from "../base/clock.fake.ts";
import { keepLaneCall } from "./lane-call.ts";
import { createScriptedCall } from "./scripted-call.fake.ts";

const BEAT_MS = 10_000;
const ALIVE = "";
const ACTIVE = "0801";

let clock: FakeClock;
/** This end's side of the lane, and the other end's. */
let near: Socket;
let far: Socket;
let call: ReturnType<typeof createScriptedCall>;
const life: (() => unknown)[] = [];

beforeEach(async () => {
  clock = createFakeClock();
  const made = createScriptedCall();
  call = made;
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer(accepted.resolve).listen(0, "127.0.0.1");
  await once(server, "listening");
  near = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(near, "connect");
  far = await accepted.promise;
  far.on("error", () => undefined);
  life.push(
    () => server.close(),
    () => near.destroy(),
    () => far.destroy(),
  );
  keepLaneCall({ call: made.carrier, line: near }, { clock }, () => void made.heard.push("lane broke"));
  near.resume();
});
afterEach(() => {
  for (const end of life.splice(0)) end();
});

const said = () => call.heard.splice(0);

it("says that its end lives, and that the session is in use where something moved either way", async () => {
  await clock.advance(BEAT_MS);
  expect(said()).toEqual([ALIVE]);
  far.write("bytes");
  await once(near, "data");
  await clock.advance(BEAT_MS);
  near.write("bytes");
  await clock.advance(BEAT_MS);
  await clock.advance(BEAT_MS);
  expect(said()).toEqual([ACTIVE, ACTIVE, ALIVE]);
});

it("finishes with the lane where this end leaves, and says nothing more", async () => {
  near.destroy();
  await once(near, "close");
  await clock.advance(3 * BEAT_MS);
  expect(said()).toEqual(["finish"]);
  expect(clock.pending()).toBe(0);
});

it.each(["before", "after"])(
  "finishes where the other end leaves, and says so on its call %s the lane's end",
  async (order) => {
    const leave = () => call.end({ reason: "peer-done", message: "the other end is done" });
    if (order === "before") leave();
    far.end();
    await once(near, "close");
    if (order === "after") leave();
    await clock.advance(BEAT_MS);
    expect(said()).toEqual(["finish"]);
  },
);

it.each([
  ["ends", () => far.end()],
  ["is cut", () => far.resetAndDestroy()],
])("takes a lane that %s while its call goes on for one that broke", async (_, act) => {
  act();
  await new Promise((closed) => near.once("close", closed));
  expect(said()).toEqual([]);
  await clock.advance(5000);
  expect(said()).toEqual(["lane broke", "cut"]);
});

it("takes a lane over which nothing came for long for one that broke, where this end gives it up", async () => {
  await clock.advance(2 * BEAT_MS);
  said();
  near.destroy();
  await once(near, "close");
  expect(said()).toEqual(["lane broke", "cut"]);
});

it("ends the lane with the call's own word", async () => {
  const broken = once(near, "error");
  const closed = new Promise((done) => near.once("close", done));
  call.end({ reason: "draining", message: "the router is about to end" });
  expect((await broken)[0]).toMatchObject({ code: "unavailable", message: "the router is about to end" });
  await closed;
  expect(said()).toEqual(["finish"]);
});
