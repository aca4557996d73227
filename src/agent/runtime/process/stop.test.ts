import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../base/clock.ts";
import { parseProcStat } from "../../../base/proc-stat.ts";
import { createSpawner } from "../../../base/spawn.ts";
import type { StopLadder } from "../run-handle.ts";
import type { Launch } from "./process-runtime.ts";
import {
  fakeFfmpeg,
  isRunning,
  openRuntimeWorld,
  type RuntimeWorld,
  readTextIfAny,
  until,
} from "./runtime-world.fake.ts";
import { planSignals } from "./stop-signals.ts";

const LADDER: StopLadder = [
  { signal: "SIGTERM", graceMs: 400, toGroup: false },
  { signal: "SIGTERM", graceMs: 400, toGroup: false },
  { signal: "SIGKILL", graceMs: 3000, toGroup: true },
];

/** Started, and far enough to have its signal handlers. */
async function startReady(world: RuntimeWorld, launch: Launch) {
  const mark = world.mark("cam-1");
  const files = world.files("cam-1");
  const handle = await world.runtime.start(mark, launch, files);
  expect(await until(() => readTextIfAny(files.progressPath).includes("progress=continue"))).toBe(true);
  return { handle, mark };
}

function signalsOf(path: string): string[] {
  return readTextIfAny(path).split("\n").filter(Boolean);
}

describe("the signals of one rung", () => {
  const rest = "0 -1 4194560 100 0 0 0 7 3 0 0 20 0 1 0 987654 23000000 512";
  const stat = (state: string, group = 42) => {
    const parsed = parseProcStat(`42 (x) ${state} 1 ${group} 42 0 ${rest}`);
    if (parsed === undefined) throw new TypeError("the test's own stat line is wrong");
    return parsed;
  };

  test("go to the group only by way of its leader", () => {
    const rung = { signal: "SIGKILL", graceMs: 1, toGroup: true } as const;
    expect(planSignals(rung, stat("S"))).toEqual({ target: -42, signals: ["SIGKILL"] });
    expect(planSignals(rung, stat("S", 7))).toEqual({ target: 42, signals: ["SIGKILL"] });
    expect(planSignals({ ...rung, toGroup: false }, stat("S"))).toEqual({ target: 42, signals: ["SIGKILL"] });
  });

  test("are followed by SIGCONT only for a stopped process that must handle them", () => {
    const rung = { signal: "SIGTERM", graceMs: 1, toGroup: false } as const;
    expect(planSignals(rung, stat("T")).signals).toEqual(["SIGTERM", "SIGCONT"]);
    for (const state of ["R", "S", "D", "t"]) expect(planSignals(rung, stat(state)).signals).toEqual(["SIGTERM"]);
    expect(planSignals({ ...rung, signal: "SIGKILL" }, stat("T")).signals).toEqual(["SIGKILL"]);
  });
});

describe("stop", () => {
  test("takes one signal where one is enough", async () => {
    await using world = openRuntimeWorld();
    const record = join(world.stateDir, "signals");
    const { handle } = await startReady(world, fakeFfmpeg("--signals", record));
    expect(await handle.stop(LADDER)).toBe("gone");
    expect(await handle.exited).toMatchObject({ code: 255, signal: null });
    expect(signalsOf(record)).toEqual(["SIGTERM"]);
  });

  test("sends the second signal that a blocked write needs", async () => {
    await using world = openRuntimeWorld();
    const record = join(world.stateDir, "signals");
    const { handle } = await startReady(world, fakeFfmpeg("--signals", record, "--ignore-signals", "1"));
    expect(await handle.stop(LADDER)).toBe("gone");
    expect(await handle.exited).toMatchObject({ code: 255, signal: null });
    expect(signalsOf(record)).toEqual(["SIGTERM", "SIGTERM"]);
  });

  test("kills what ignores every signal, and however often it is asked never sends a third", async () => {
    await using world = openRuntimeWorld();
    const record = join(world.stateDir, "signals");
    const { handle } = await startReady(world, fakeFfmpeg("--signals", record, "--ignore-signals", "-1"));
    const outcomes = await Promise.all([handle.stop(LADDER), handle.stop(LADDER), handle.stop(LADDER)]);
    expect(outcomes).toEqual(["gone", "gone", "gone"]);
    expect(await handle.exited).toMatchObject({ code: null, signal: "SIGKILL" });
    expect(signalsOf(record)).toEqual(["SIGTERM", "SIGTERM"]);
    expect(await handle.stop(LADDER)).toBe("gone");
  });

  test("a stopped process handles the first signal", async () => {
    await using world = openRuntimeWorld();
    const record = join(world.stateDir, "signals");
    const { handle } = await startReady(world, fakeFfmpeg("--signals", record));
    process.kill(handle.identity.pid, "SIGSTOP");
    expect(await until(() => handle.stat()?.state === "T")).toBe(true);
    expect(await handle.stop(LADDER)).toBe("gone");
    expect(await handle.exited).toMatchObject({ code: 255 });
    expect(signalsOf(record)).toEqual(["SIGTERM"]);
  });

  test("comes to an end although the process does not", async () => {
    await using world = openRuntimeWorld();
    const { handle } = await startReady(world, fakeFfmpeg("--ignore-signals", "-1"));
    const catchable: StopLadder = [{ signal: "SIGTERM", graceMs: 100, toGroup: false }];
    expect(await handle.stop(catchable)).toBe("unkillable");
    expect(handle.stat()).toBeDefined();
    expect(await handle.stop(LADDER)).toBe("gone");
  });

  test("one that hangs holds up no other", async () => {
    await using world = openRuntimeWorld();
    const deaf = await startReady(world, fakeFfmpeg("--ignore-signals", "-1"));
    let isOver = false;
    const slow = deaf.handle
      .stop([{ signal: "SIGTERM", graceMs: 50_000, toGroup: false }, ...LADDER.slice(2)])
      .finally(() => {
        isOver = true;
      });
    const quick = await world.runtime.start(
      world.mark("cam-2"),
      { file: "sleep", args: ["300"], env: {} },
      world.files("cam-2"),
    );
    expect(await quick.stop(LADDER)).toBe("gone");
    expect(isOver).toBe(false);
    process.kill(deaf.handle.identity.pid, "SIGKILL");
    expect(await slow).toBe("gone");
  });

  test("an adopted process climbs the same ladder", async () => {
    await using world = openRuntimeWorld();
    const record = join(world.stateDir, "signals");
    const { handle, mark } = await startReady(world, fakeFfmpeg("--signals", record, "--ignore-signals", "1"));
    const adopted = world.successor().runtime.adopt(handle.identity, mark);
    expect(await adopted?.stop(LADDER)).toBe("gone");
    expect(signalsOf(record)).toEqual(["SIGTERM", "SIGTERM"]);
  });
});

describe("what a workload leaves behind", () => {
  const sleepers = (world: RuntimeWorld, nonce: string) =>
    world.table
      .pids()
      .filter((pid) => world.table.environment(pid, nonce) !== undefined && isRunning(world.table, pid));

  test.for(["same", "own"])("is ended after a stop, in %s session", async (session) => {
    await using world = openRuntimeWorld();
    const { handle, mark } = await startReady(world, fakeFfmpeg("--grandchild", session));
    expect(await until(() => sleepers(world, mark.nonce).length === 2)).toBe(true);
    expect(await handle.stop(LADDER)).toBe("gone");
    expect(sleepers(world, mark.nonce)).toEqual([]);
  });

  test("is ended after an exit that nobody asked for", async () => {
    await using world = openRuntimeWorld();
    const { handle, mark } = await startReady(world, fakeFfmpeg("--grandchild", "own"));
    process.kill(handle.identity.pid, "SIGKILL");
    await handle.exited;
    expect(await until(() => sleepers(world, mark.nonce).length === 0)).toBe(true);
    expect(world.log.lines.join("\n")).toContain("outlived its workload cam-1");
  });
});

describe("a number that was given to another process", () => {
  test("is neither trusted nor signalled", async ({ skip }) => {
    await using world = openRuntimeWorld();
    const spawner = createSpawner({ ambient: process.env }, { clock: systemClock });
    const limits = { timeoutMs: 20_000, maxOutputBytes: 10_000 };
    const unshare = ["--fork", "--pid", "--mount-proc", "--kill-child"];
    const canUnshare = (await spawner.runProgram("unshare", [...unshare, "true"], limits).catch(() => undefined))?.code;
    skip(canUnshare !== 0, "needs a PID namespace of its own (root)");

    const script = join(world.stateDir, "reuse.ts");
    const here = JSON.stringify(join(import.meta.dirname, "runtime-world.fake.ts"));
    writeFileSync(
      script,
      `import { writeFileSync } from "node:fs";
       import { spawn } from "node:child_process";
       import { openRuntimeWorld, isRunning, until } from ${here};
       await using world = openRuntimeWorld();
       const mark = world.mark("cam-1");
       const sleep = { file: "sleep", args: ["300"], env: {} };
       const started = await world.runtime.start(mark, sleep, world.files("cam-1"));
       const { pid } = started.identity;
       const { runtime } = world.successor();
       const adopted = runtime.adopt(started.identity, mark);
       process.kill(pid, "SIGKILL");
       await started.exited;
       await started.stop([]);
       let stranger;
       for (let round = 0; round < 200 && stranger?.pid !== pid; round++) {
         stranger?.kill("SIGKILL");
         writeFileSync("/proc/sys/kernel/ns_last_pid", String(pid - 1));
         stranger = spawn("sleep", ["300"]);
       }
       const report = {
         isReused: stranger?.pid === pid,
         wasAdopted: adopted !== undefined,
         isTrusted: runtime.adopt(started.identity, mark) !== undefined,
         stat: adopted?.stat() ?? null,
         outcomes: [
           await adopted?.stop([{ signal: "SIGKILL", graceMs: 1000, toGroup: true }]),
           await started.stop([{ signal: "SIGKILL", graceMs: 1000, toGroup: true }]),
         ],
         strangerLives: isRunning(world.table, pid),
       };
       stranger?.kill("SIGKILL");
       console.log(JSON.stringify(report));`,
    );
    const node = [process.execPath, "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", script];
    const result = await spawner.runProgram("unshare", [...unshare, ...node], limits);
    expect(JSON.parse(result.stdout || "{}"), result.stderr).toEqual({
      isReused: true,
      wasAdopted: true,
      isTrusted: false,
      stat: null,
      outcomes: ["gone", "gone"],
      strangerLives: true,
    });
  });
});
