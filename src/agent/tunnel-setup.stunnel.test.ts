import { expect, test } from "vitest";
import { createTunnelPair } from "../../test-server/tunnel-pair.ts";
import { systemClock } from "../base/clock.ts";

test.for(["psk", "cert"] as const)(
  "a tunnel with %s is up within a second of being told, and carries bytes",
  async (security) => {
    await using pair = await createTunnelPair({ security, legs: 2 });
    await Promise.all([pair.producer.startAgent(), pair.consumer.startAgent()]);
    const startMs = systemClock.monotonicMs();
    await pair.link();
    await pair.untilUp();
    const tookMs = systemClock.monotonicMs() - startMs;
    for (const entry of pair.entries) {
      const echo = await pair.open(entry);
      expect(await echo.say("through and back")).toBe("through and back");
      echo.close();
    }
    expect(tookMs).toBeLessThan(1000);
  },
);
