import { expect, test } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { TUNNEL_ROLES } from "../src/contract/tunnel-spec.ts";
import { startServerProcess } from "./server-process.ts";
import { createTunnelPair } from "./tunnel-pair.ts";

const isLong = process.env["SLUICE_TEST_LONG"] === "1";
/** In the long form the agents give the silent server up and come back. */
const FROZEN_MS = isLong ? 90_000 : 2000;

test.each(isLong ? (["cert", "psk"] as const) : (["cert"] as const))(
  "a tunnel by %s whose servers freeze goes on, mends itself meanwhile, and one that was coming up comes up after it",
  async (security) => {
    await using producer = await startServerProcess();
    await using consumer = await startServerProcess();
    const servers = { producer, consumer };
    const freeze = () => TUNNEL_ROLES.map((role) => servers[role].signal("SIGSTOP"));
    const thaw = () => TUNNEL_ROLES.map((role) => servers[role].signal("SIGCONT"));
    await using pair = await createTunnelPair({ security, servers });
    await Promise.all([pair.producer.startAgent(), pair.consumer.startAgent()]);

    // While it comes up: they have been told, and their servers say nothing more.
    for (const role of TUNNEL_ROLES) await servers[role].putStreams(pair.workload(role));
    freeze();
    await systemClock.delay(FROZEN_MS);
    if (security === "cert") {
      // Each has its certificate, and nobody who would carry it over.
      for (const role of TUNNEL_ROLES) expect((await pair.status(role))?.certificates).toHaveLength(1);
      expect((await pair.status("consumer"))?.phase).toBe("prepared");
    }
    thaw();
    await pair.link();
    await pair.untilUp();

    freeze();
    const kept = await pair.open();
    expect(await kept.say("frozen")).toBe("frozen");
    await systemClock.delay(FROZEN_MS);
    expect(await kept.say("still")).toBe("still");
    const before = await pair.consumer.workload("t-1.consumer");
    process.kill(before?.pid ?? 0, "SIGKILL");
    await pair.consumer.until(async () => {
      const now = await pair.consumer.workload("t-1.consumer");
      return now?.pid !== before?.pid && now?.tunnel?.phase === "up";
    }, "another process is up while the servers are frozen");
    const fresh = await pair.open();
    expect(await fresh.say("anew")).toBe("anew");
    const pids = await Promise.all(TUNNEL_ROLES.map(async (role) => (await pair[role].workload(`t-1.${role}`))?.pid));
    thaw();
    await pair.consumer.until(async () => (await pair.consumer.status()).link.state === "live", "the server is heard");
    await pair.untilUp();
    expect(await fresh.say("thawed")).toBe("thawed");
    expect(
      await Promise.all(TUNNEL_ROLES.map(async (role) => (await pair[role].workload(`t-1.${role}`))?.pid)),
    ).toEqual(pids);
    for (const echo of [kept, fresh]) echo.close();
  },
  60_000 + 3 * FROZEN_MS,
);
