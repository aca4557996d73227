import fc from "fast-check";
import { expect, test } from "vitest";
import { type Clock, systemClock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { createCarrierPair } from "../../remote/carrier-pair.fake.ts";
import { hostileFrames, speak } from "../../remote/hostile-peer.fake.ts";
import { createTestContext } from "../command-context.fake.ts";
import { runProgram } from "../program.ts";
import { REMOTE_EXIT } from "./remote-failure.ts";
import { createFakeConsole, createRemoteWorld } from "./remote-world.fake.ts";

const RUNS = process.env["SLUICE_TEST_LONG"] === "1" ? 3000 : 100;

/** Waits for what never comes are short. */
const HASTY: Clock = { ...systemClock, delay: (ms, signal) => systemClock.delay(Math.min(ms, 10), signal) };

test("whatever a box says, the command ends, with a status of ours and never as a success", async () => {
  const ours: readonly number[] = Object.values(REMOTE_EXIT);
  await fc.assert(
    fc.asyncProperty(hostileFrames, async (frames) => {
      const world = createRemoteWorld(() => undefined);
      world.rejoinFaults.push(new AppError("conflict", "it is over"));
      const fake = createFakeConsole();
      const base = createTestContext("/nowhere");
      const context = createTestContext("/nowhere", {
        env: { SLUICE_HUB: "https://hub.test", SLUICE_HUB_TOKEN: "t" },
        connectHub: () => Promise.resolve(world.hub),
        clock: HASTY,
        remote: {
          ...base.remote,
          createSession: world.tools.createSession,
          createDialler: async () => ({
            join: async () => {
              const pair = createCarrierPair();
              setImmediate(() => {
                speak(pair.box, frames);
                pair.box.finish();
              });
              return pair.operator;
            },
            close: () => undefined,
          }),
          openConsole: () => Promise.resolve(fake.console),
        },
      });
      const code = await runProgram(["exec", "north-1", "--", "x"], context);
      expect(ours).toContain(code);
    }),
    { numRuns: RUNS },
  );
}, 600_000);
