import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createTunnelPair } from "../../test-server/tunnel-pair.ts";
import { createLocalAgent } from "../client/local-agent.ts";
import type { CleanupWish } from "../contract/local-status.ts";

test("cleanup ends what earlier agents started, or one tunnel, and what is expected is started anew", async () => {
  await using pair = await createTunnelPair({ security: "psk" });
  const { consumer } = pair;
  await Promise.all([pair.producer.startAgent(), consumer.startAgent()]);
  await pair.link();
  await pair.untilUp();
  const local = createLocalAgent({ socketPath: join(consumer.stateDir, "agent.sock") });
  const clean = async (wish: Partial<CleanupWish>) =>
    local.cleanup({ dryRun: false, scope: "strays", ...wish }, AbortSignal.timeout(20_000));
  const marks = () => readdirSync(consumer.stateDir).filter((name) => name.startsWith(".session-"));
  const pid = async () =>
    consumer.until(async () => {
      const found = await consumer.workload("t-1.consumer");
      return found?.tunnel?.phase === "up" ? found.pid : undefined;
    }, "the end is up");
  const first = await pid();
  expect(marks().map((name) => name.replace(/^\.session-\d{8}T\d{9}Z-/, ""))).toEqual([
    "agent.mark",
    "t-1.consumer.mark",
  ]);
  expect((await clean({ scope: "previous" })).processes).toMatchObject([{ pid: first, outcome: "kept" }]);

  await consumer.killAgent("SIGKILL");
  await consumer.startAgent();
  expect(await pid()).toBe(first);
  expect((await clean({})).processes).toMatchObject([{ pid: first, outcome: "kept" }]);
  expect((await clean({ scope: "previous", dryRun: true })).processes).toMatchObject([
    { pid: first, outcome: "would-stop" },
  ]);
  const previous = await clean({ scope: "previous" });
  expect(previous.processes).toEqual([
    {
      pid: first,
      workloadId: "t-1.consumer",
      generation: 1,
      outcome: "stopped",
      reason: expect.stringMatching(
        /^its start is marked by \.session-.*-t-1\.consumer\.mark; it is expected, so it is started anew$/,
      ),
    },
  ]);
  // Of the agent that is gone, and of the process that was ended.
  expect(previous.marksRemoved).toBe(2);
  const second = await pid();
  expect(second).not.toBe(first);
  expect((await clean({ scope: "previous" })).processes).toMatchObject([{ pid: second, outcome: "kept" }]);

  expect((await clean({ scope: "all", tunnel: "t-2" })).processes).toMatchObject([{ pid: second, outcome: "kept" }]);
  expect((await clean({ scope: "all", tunnel: "t-1" })).processes).toMatchObject([{ pid: second, outcome: "stopped" }]);
  const third = await pid();
  expect((await clean({ scope: "all" })).processes).toMatchObject([{ pid: third, outcome: "stopped" }]);
  expect(await consumer.workload("t-1.consumer")).toMatchObject({ lastExit: { class: "asked" } });
  expect(await pid()).not.toBe(third);
}, 90_000);
