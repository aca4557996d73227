import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MAIN_PROGRAM } from "../../test-server/main-program.ts";
import { createRegistry } from "../agent/registry/registry.ts";
import { createProcessRuntime } from "../agent/runtime/process/linux-process-runtime.ts";
import type { ProcessHandle } from "../agent/runtime/process/process-runtime.ts";
import { systemClock } from "../base/clock.ts";
import { createMemoryLog } from "../base/log.ts";
import { createPidLister } from "../base/process-sweep.ts";
import { createProcessTable } from "../base/process-table.ts";
import { createSpawner } from "../base/spawn.ts";

let directory: string;
const running = new Set<ChildProcessWithoutNullStreams>();

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-main-"));
});
afterEach(async () => {
  for (const child of running) child.kill("SIGKILL");
  await rm(directory, { recursive: true });
});

function start(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [MAIN_PROGRAM, ...args], {
    env: { PATH: process.env["PATH"] ?? "", HOME: directory, SLUICE_CONFIG: "/dev/null", ...env },
  });
  running.add(child);
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
    child.on("close", (code) => {
      running.delete(child);
      resolve({ code, out, err });
    });
  });
  return { child, ended, out: () => out };
}

test("a wrong configuration exits 78 with every problem in one message, and creates nothing", async () => {
  const config = join(directory, "agent.yaml");
  await writeFile(config, "link:\n  endpont: http://hub/\n  retryDelaySeconds: soon\n");
  const stateDir = join(directory, "state");
  const { code, out, err } = await start(["agent", "--config", config, "--state-dir", stateDir, "--boxid", "x"], {
    SSE_ENDPOINT: "gopher://ann:canary-1@hub/?k=canary-2",
    SSE_MAX_RETRIES: "-1",
    LOG_LEVEL: "loud",
  }).ended;
  expect(code).toBe(78);
  expect(out).toBe("");
  expect(err.trimEnd().split("\n")).toHaveLength(7);
  for (const place of [`${config}:2`, `${config}:3`, "--boxid", "SSE_ENDPOINT", "SSE_MAX_RETRIES", "LOG_LEVEL"]) {
    expect(err).toContain(place);
  }
  expect(err).not.toContain("canary");
  await expect(readFile(stateDir)).rejects.toMatchObject({ code: "ENOENT" });
});

test("--print-config shows where each value came from and masks secrets", async () => {
  const { code, out, err } = await start(["agent", "--print-config", "--state-dir", directory], {
    SSE_ENDPOINT: "http://ann:canary-1@hub/e?k=canary-2",
    SLUICE_TOKEN: "canary-3",
  }).ended;
  expect(err).toBe("");
  expect(code).toBe(0);
  expect(out).toContain("endpoint: http://***@hub/e?k=***  # SSE_ENDPOINT (environment)");
  expect(out).toContain(`stateDir: ${directory}  # --state-dir`);
  expect(out).not.toContain("canary");
});

test("no agent is exit 69 with what to do", async () => {
  const { code, err } = await start(["status", "--state-dir", directory]).ended;
  expect(code).toBe(69);
  expect(err).toContain("no agent answers");
});

test("Ctrl-C ends a watch as a success", async () => {
  const { child, ended, out } = start(["status", "--watch", "--state-dir", directory]);
  for (let turn = 0; turn < 4000 && !out().includes("no agent answers"); turn++) await systemClock.delay(10);
  child.kill("SIGINT");
  expect((await ended).code).toBe(0);
});

test("a reader that leaves early ends the command quietly", async () => {
  const { child, ended, out } = start(["status", "--watch", "--state-dir", directory]);
  for (let turn = 0; turn < 4000 && out() === ""; turn++) await systemClock.delay(10);
  child.stdout.destroy();
  expect(await ended).toMatchObject({ code: 0, err: "" });
});

test("cleanup without an agent ends what proves to be ours, leaves the rest, and clears the records", async () => {
  const stateDir = join(directory, "state");
  await mkdir(stateDir, { mode: 0o700 });
  const stop = new AbortController();
  const log = createMemoryLog();
  const table = createProcessTable();
  const deps = {
    clock: systemClock,
    log,
    spawner: createSpawner({ ambient: process.env }, { clock: systemClock }),
    table,
    listPids: createPidLister({ table, clock: systemClock, log }),
    place: () => undefined,
    signal: stop.signal,
  };
  const launch = (home: string, nonce: string): Promise<ProcessHandle> =>
    createProcessRuntime({ stateDir: home }, deps).start(
      { boxId: "box-1", workloadId: "cam-1", kind: "stream", generation: 2, nonce: nonce.repeat(16), specHash: "x" },
      { file: "sleep", args: ["60"], env: {} },
      {
        directory: join(home, "workloads"),
        progressPath: join(home, "workloads", "progress"),
        rawOutputPath: join(home, "workloads", "output"),
        logPath: join(home, "cam.log"),
        previewPath: join(home, "cam.jpg"),
      },
    );
  const ours = await launch(stateDir, "a1");
  const other = await launch(join(directory, "another"), "b2");
  const file = join(stateDir, "registry.json");
  const registry = createRegistry({ file }, { clock: systemClock, log, signal: stop.signal });
  registry.put({
    id: "cam-1",
    kind: "stream",
    phase: "running",
    bootId: "b",
    nonce: "n",
    specHash: "x",
    generation: 2,
    restarts: 0,
    failures: 0,
    sinceMs: 0,
  });
  await registry.commit();
  try {
    const args = ["cleanup", "--state-dir", stateDir];
    const env = { SLUICE_BOX_ID: "box-1" };
    const dry = await start([...args, "--dry-run"], env).ended;
    expect(dry).toMatchObject({ code: 0, err: "" });
    expect(dry.out).toContain(`pid ${ours.identity.pid} (cam-1, generation 2) would be stopped`);
    expect(ours.stat()).toBeDefined();

    const real = await start(args, env).ended;
    expect(real).toMatchObject({ code: 0, err: "" });
    expect(real.out).toContain(`pid ${ours.identity.pid} (cam-1, generation 2) stopped`);
    expect(real.out).not.toContain(String(other.identity.pid));
    expect((await ours.exited).signal).toBe("SIGTERM");
    expect(other.stat()).toBeDefined();
    expect([...createRegistry({ file }, { clock: systemClock, log, signal: stop.signal }).all()]).toEqual([]);
  } finally {
    const ladder = [{ signal: "SIGKILL", graceMs: 1000, toGroup: true }] as const;
    await Promise.all([ours.stop(ladder), other.stop(ladder)]);
    stop.abort();
  }
});
