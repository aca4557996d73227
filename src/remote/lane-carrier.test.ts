import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createFakeClock, type FakeClock } from "../base/clock.fake.ts";
import type { Carrier } from "./carrier.ts";
import { createLaneCarrier } from "./lane-carrier.ts";
import { createScriptedCall } from "./scripted-call.fake.ts";

const BEAT_MS = 10_000;
const ALIVE = [new Uint8Array(0)];

let clock: FakeClock;
let far: Socket;
let call: ReturnType<typeof createScriptedCall>;
let carrier: Carrier;
let broken: number;
let frames: number;
const life: (() => unknown)[] = [];

beforeEach(async () => {
  clock = createFakeClock();
  call = createScriptedCall();
  broken = 0;
  frames = 0;
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer(accepted.resolve).listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(near, "connect");
  far = await accepted.promise;
  far.on("error", () => undefined);
  life.push(
    () => server.close(),
    () => near.destroy(),
    () => far.destroy(),
  );
  // What it says of its TLS nobody asks here.
  const line = near as TLSSocket;
  carrier = createLaneCarrier({ call: call.carrier, line }, { clock }, () => {
    broken += 1;
  });
  const onFrame = () => {
    frames += 1;
  };
  carrier.listen({ onFrame, onDrain: () => undefined, onEnd: () => undefined });
});
afterEach(() => {
  for (const end of life.splice(0)) end();
});

it("is marked where it is given up after nothing came over it, although the other end still says on the call that it lives", async () => {
  for (let beat = 0; beat < 2; beat++) {
    await clock.advance(BEAT_MS);
    call.hear(ALIVE);
  }
  carrier.cut();
  expect([broken, call.heard.at(-1)]).toEqual([1, "cut"]);
});

it.each<[string, () => unknown]>([
  ["with nothing on the call either, as where the whole way is gone", () => clock.advance(4 * BEAT_MS)],
  [
    "in between, by this end's own will",
    async () => {
      await clock.advance(BEAT_MS);
      call.hear(ALIVE);
    },
  ],
  [
    "with something on the lane since",
    async () => {
      await clock.advance(BEAT_MS);
      call.hear(ALIVE);
      await clock.advance(BEAT_MS);
      call.hear(ALIVE);
      far.write(Buffer.from([0, 0, 0, 0, 1, 8]));
      await expect.poll(() => frames).toBe(1);
    },
  ],
  ["after the call has ended", () => call.end({ reason: "draining", message: "the router is about to end" })],
])("is not marked where it is given up %s", async (_, act) => {
  await act();
  carrier.cut();
  expect(broken).toBe(0);
});
