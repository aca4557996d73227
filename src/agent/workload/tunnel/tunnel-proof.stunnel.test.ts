import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createTunnelWorld } from "./tunnel-world.fake.ts";

let world: ReturnType<typeof createTunnelWorld>;
let sourcePort: number;
beforeEach(async () => {
  world = createTunnelWorld();
  sourcePort = await world.serve((socket) => socket.write("hello"));
});
afterEach(() => world.close());

const RIGHT = [
  { kind: "cert", minTls: "1.3" },
  { kind: "cert", minTls: "1.2" },
  { kind: "psk", minTls: "1.3" },
  { kind: "psk", minTls: "1.2" },
] as const;

describe("a tunnel as it is configured here", () => {
  test.for(RIGHT)("is proved at both ends ($kind, TLS $minTls)", async (wish) => {
    const tunnel = await world.createTunnel({ ...wish, sourcePort, legs: 2 });
    const producer = await world.start(tunnel.producer);
    const consumer = await world.start(tunnel.consumer);
    const [there, here] = [await world.prove(producer), await world.prove(consumer)];
    expect(there).toMatchObject({ isProved: true, needsRestart: false });
    expect(here).toMatchObject({
      isProved: true,
      needsRestart: false,
      proof: { protocol: "TLSv1.3", through: "byte" },
    });
  });
});
