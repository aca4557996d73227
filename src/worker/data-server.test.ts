import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { afterEach, expect, it } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { helloFrame } from "./data-dial.ts";
import { startDataServer } from "./data-server.ts";
import { openWorkerWorld, type WorkerWorld } from "./worker-world.fake.ts";

const quiet = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined };
let world: WorkerWorld | undefined;
const life = new AbortController();
afterEach(() => {
  life.abort();
  world?.close();
});

it("who connects and does not say who it is within 10 s is cut, also where it says it by the byte", async () => {
  world = await openWorkerWorld();
  const clock = createFakeClock();
  const server = await startDataServer(
    { host: "127.0.0.1", port: 0, allowsPlain: true },
    {
      ...world.source.context.serveDeps,
      clock,
      log: quiet,
      identity: () => {
        throw new TypeError("nobody speaks TLS here");
      },
      takePushed: () => false,
      onSent: () => undefined,
      signal: life.signal,
    },
  );
  const { port } = server.address() as AddressInfo;
  const [silent, dripping] = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
  const ended = [silent, dripping].map((socket) => {
    socket.on("error", () => undefined);
    return once(socket, "close");
  });
  await expect.poll(() => new Promise((done) => server.getConnections((_, count) => done(count)))).toBe(2);
  const hello = helloFrame("pull", "a ticket");
  for (let second = 0; second < 10; second++) {
    expect([silent.closed, dripping.closed]).toEqual([false, false]);
    dripping.write(hello.subarray(second, second + 1));
    await clock.advance(990);
  }
  await clock.advance(100);
  await Promise.all(ended);
});
