import { defineConfig } from "vitest/config";
import { SlowestFirst } from "./scripts/slowest-first.ts";

/** Tests that hold something to a time in seconds, with real programs: they run after all others, with nothing beside them but each other. */
const TIMED = [
  "test-server/health.nginx.test.ts",
  "test-server/disk-frozen.ffmpeg.test.ts",
  "test-server/uplink.ffmpeg.test.ts",
  "src/agent/frozen-server.nginx.test.ts",
  "src/agent/survive-kill.ffmpeg.test.ts",
  "test-server/hub-agent.ffmpeg.test.ts",
  "test-server/hub-tunnel.stunnel.test.ts",
  "test-server/tunnel-faults.stunnel.test.ts",
];

/** Tests that need all of the machine, or hold something to a part of a second: each runs alone, after all others. */
const HEAVY = [
  "test-server/hub-torture/hub-torture.redis.test.ts",
  "src/agent/workload/tunnel/tunnel-proof-time.stunnel.test.ts",
  "src/agent/tunnel-setup.stunnel.test.ts",
];

/** Tests that measure their own process (its memory, its descriptors, its processor time): each has one to itself. */
const MEASURING = [
  "src/agent/local-api/local-api.test.ts",
  "src/agent/runtime/process/linux-process-runtime.test.ts",
  "src/holder/exec.test.ts",
  "src/holder/terminal.test.ts",
  "src/hub/events/box-events.test.ts",
  "src/hub/logs/logs.test.ts",
];

/** A test file's suffix names the world it needs; `scripts/test` installs those worlds before it runs them. */
export default defineConfig({
  test: {
    // Ends what hangs, and is no bar: what is held to a time says so itself, and a busy machine takes three times as long for the rest.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // How long a condition is waited for that must come; a second, the default, is little for real programs on a busy machine.
    expect: { poll: { timeout: 20_000, interval: 50 } },
    pool: "forks",
    // Of tests that run at a time within one file.
    maxConcurrency: 3,
    sequence: { sequencer: SlowestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: "plain",
          include: ["src/**/*.*.test.ts", ...MEASURING, "test-server/**/*.test.ts", "scripts/**/*.test.ts"],
          exclude: [...TIMED, ...HEAVY],
          // Many tests wait for real programs: with one more than cores they wait together.
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "unit",
          include: ["src/**/*.test.ts"],
          exclude: ["**/*.*.test.ts", ...MEASURING],
          // They need no world and leave nothing in the process: one after the other in a process that has the modules
          // already, each takes half the processor time. They come after the plain ones, and fill their end.
          isolate: false,
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: "timed", include: TIMED, maxWorkers: 3, sequence: { groupOrder: 1 } } },
      { extends: true, test: { name: "heavy", include: HEAVY, maxWorkers: 1, sequence: { groupOrder: 2 } } },
    ],
  },
});
