import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import type { ExitStatus } from "../../base/spawn.ts";
import type { WorkerConfig, WorkerCredentials } from "../../contract/transfer/worker-config.ts";
import { createWorkerKeeper } from "./worker-keeper.ts";

const KILLED: ExitStatus = { code: null, signal: "SIGKILL" };
const quiet = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined };

/** A keeper whose workers are ended by the test. */
function begin() {
  const clock = createFakeClock();
  const life = new AbortController();
  const ends: ((status: ExitStatus) => void)[] = [];
  const keeper = createWorkerKeeper(
    { config: {} as WorkerConfig, program: { file: "node", args: [], env: {} } },
    {
      clock,
      random: () => 1,
      log: quiet,
      progress: { advance: () => undefined, rest: () => undefined },
      credentials: async () => ({}) as WorkerCredentials,
      spawn: async () => {
        const exited = Promise.withResolvers<ExitStatus>();
        ends.push(exited.resolve);
        const pipe = () => new PassThrough();
        return { pid: 2 ** 30, input: pipe(), output: pipe(), errors: pipe(), exited: exited.promise };
      },
      close: () => undefined,
    },
  );
  const over = keeper.run(life.signal);
  return {
    clock,
    begun: () => ends.length,
    kill: () => ends.at(-1)?.(KILLED),
    end: async () => {
      life.abort();
      ends.at(-1)?.(KILLED);
      await clock.advance(10_000);
      await over;
    },
  };
}

test("a worker that worked for a while and is killed has another one within two seconds, however often that comes", async () => {
  const { clock, begun, kill, end } = begin();
  await clock.advance(0);
  for (let times = 1; times <= 20; times++) {
    expect(begun()).toBe(times);
    await clock.advance(20_000);
    kill();
    await clock.advance(2000);
  }
  await end();
});

test("a worker that cannot stay up is begun less and less often, and at least twice a minute", async () => {
  const { clock, begun, kill, end } = begin();
  await clock.advance(0);
  const waits: number[] = [];
  for (let times = 1; times <= 8; times++) {
    kill();
    const fromMs = clock.monotonicMs();
    while (begun() === times) await clock.advance(500);
    waits.push(clock.monotonicMs() - fromMs);
  }
  expect(waits).toEqual([2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
  await end();
});
