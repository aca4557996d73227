import { appendFile, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  createMemorySource,
  type MemorySource,
  sampleStatus,
  sampleWorkload,
} from "../agent/local-api/local-api.fake.ts";
import { createLocalApi } from "../agent/local-api/local-api.ts";
import { createFakeClock } from "../base/clock.fake.ts";
import { systemClock } from "../base/clock.ts";
import { createMemoryLog } from "../base/log.ts";
import { createRedactor } from "../base/redact.ts";
import type { LoadedOptions } from "../config/load-agent-options.ts";
import { createTestContext, type TestContext } from "./command-context.fake.ts";
import { runProgram } from "./program.ts";

let directory: string;
let source: MemorySource;
let stopAgent: AbortController;
let agentEnded: Promise<void>;

async function startAgent(): Promise<void> {
  stopAgent = new AbortController();
  await new Promise<void>((resolve) => {
    agentEnded = createLocalApi(
      { socketPath: join(directory, "agent.sock") },
      {
        source,
        redactor: createRedactor(),
        clock: systemClock,
        random: () => 0.01,
        log: createMemoryLog(),
        onListening: resolve,
      },
    ).run(stopAgent.signal);
  });
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-cli-"));
  source = createMemorySource();
  stopAgent = new AbortController();
  agentEnded = Promise.resolve();
});
afterEach(async () => {
  stopAgent.abort();
  await agentEnded;
  await rm(directory, { recursive: true });
});

async function run(args: readonly string[], given: Parameters<typeof createTestContext>[1] = {}) {
  const context = createTestContext(directory, given);
  const exitCode = await runProgram(args, context);
  return { exitCode, out: context.out(), err: context.err() };
}

async function eventually(context: TestContext, isSo: (out: string) => boolean): Promise<void> {
  for (let turn = 0; turn < 4000 && !isSo(context.out()); turn++) await systemClock.delay(10);
  expect(isSo(context.out()), context.out()).toBe(true);
}

test("status shows the agent and each workload with its cause", async () => {
  source.current = sampleStatus({
    workloads: [
      sampleWorkload(),
      sampleWorkload({
        id: "cam-2",
        state: "waiting",
        cause: "connection refused",
        nextStartInSeconds: 8,
        restarts: 3,
      }),
    ],
  });
  await startAgent();
  const { exitCode, out, err } = await run(["status"], { clock: createFakeClock(Date.parse("2026-01-15T10:35:45Z")) });
  expect(err).toBe("");
  expect(exitCode).toBe(0);
  expect(out).toMatchInlineSnapshot(`
    "box        north-1 · agent 0.1.0, pid 77, up 5 min · started after a restart
    link       live · http://hub/events · since 5 min · 3 events
    expected   1 workload, revision 4
    registry   on disk
    report     ok, 0 queued

    ID     STATE      FOR   PID  RESTARTS   FPS  KBIT/S  SPEED  WHAT
    cam-1  running  5 min  4242         0  25.0    1800   1.00  rtsp://cam/1 → rtmp://host/live/***
    cam-2  waiting  5 min  4242         3  25.0    1800   1.00  rtsp://cam/1 → rtmp://host/live/***
                                                                connection refused (next start in 8 s)
    "
  `);
});

test("status shows what is wrong: held removals, a registry that is not on disk, bad inputs, a failing link", async () => {
  source.current = sampleStatus({
    expected: {
      epoch: "e1",
      revision: 5,
      workloads: 4,
      held: { ids: ["cam-1", "cam-2", "cam-3"], appliesInSeconds: 41, reason: "a snapshot would stop 3 of 4" },
    },
    registry: { durable: false, reason: "ENOSPC" },
    badInputs: { refused: 2 },
    link: {
      ...sampleStatus().link,
      state: "degraded",
      attempts: 12,
      reason: "connection refused",
      nextAttemptInSeconds: 42,
      badEvents: { "not-json": 3 },
      lastBadEvent: "Unexpected token <",
    },
    report: { state: "failing", queued: 4, dropped: 1, reason: "503" },
    guard: { limitsBy: "measuring", roots: [{ root: "/srv/rec", paused: "/srv/rec has 9 MiB free" }] },
    workloads: [],
  });
  await startAgent();
  const { out } = await run(["status"], { clock: createFakeClock(Date.parse("2026-01-15T10:35:45Z")) });
  expect(out).toMatchInlineSnapshot(`
    "box        north-1 · agent 0.1.0, pid 77, up 5 min · started after a restart
    link       degraded · http://hub/events · since 5 min · connection refused · 12 attempts without an event · next in 42 s
    expected   4 workloads, revision 5
    held       removal of cam-1, cam-2, cam-3: a snapshot would stop 3 of 4; applies in 41 s
    registry   NOT on disk (ENOSPC): streams go on; an agent that starts now finds them by their marks
    report     failing, 4 queued, 1 dropped: 503
    recording  paused: /srv/rec has 9 MiB free
    bad input  not-json 3, refused 2; last: Unexpected token <

    no workloads
    "
  `);
});

test("colour and control characters reach only a terminal that wants them", async () => {
  source.current = sampleStatus({ boxName: "gate\u001b[31m" });
  await startAgent();
  const plain = await run(["status"]);
  const coloured = await run(["status"], { terminal: { isTerminal: true, hasColour: true } });
  expect(plain.out).not.toContain("\u001b");
  expect(coloured.out).toContain("\u001b[32mrunning\u001b[39m");
  expect(coloured.out).toContain("gate\\x1b[31m");
});

test("status --json is the agent's answer", async () => {
  await startAgent();
  const { out } = await run(["status", "--json"]);
  expect(JSON.parse(out)).toEqual(source.current);
});

test("status --watch redraws each second, survives the agent's restart, and ends with Ctrl-C as a success", async () => {
  await startAgent();
  const stop = new AbortController();
  const clock = createFakeClock();
  const context = createTestContext(directory, { clock, signal: stop.signal, terminal: { isTerminal: true } });
  const ended = runProgram(["status", "--watch"], context);
  const redraws = () => context.out().split("\u001b[H\u001b[2J").length - 1;
  const nextRedraw = async () => {
    const before = redraws();
    for (let turn = 0; turn < 400 && redraws() === before; turn++) {
      if (clock.pending() > 0) await clock.advance(1000);
      await systemClock.delay(5);
    }
    expect(redraws()).toBeGreaterThan(before);
    return context.out().split("\u001b[H\u001b[2J").at(-1) ?? "";
  };
  expect(await nextRedraw()).toContain("cam-1");
  source.current = sampleStatus({ workloads: [sampleWorkload({ id: "cam-7" })] });
  expect(await nextRedraw()).toContain("cam-7");
  stopAgent.abort();
  await agentEnded;
  expect(await nextRedraw()).toContain("no agent answers");
  await startAgent();
  expect(await nextRedraw()).toContain("cam-7");
  stop.abort();
  expect(await ended).toBe(0);
});

test("without an agent each command says what to do and exits 69", async () => {
  for (const args of [["status"], ["explain", "cam-1"], ["reconcile"], ["logs"]]) {
    const { exitCode, err } = await run(args);
    expect(exitCode).toBe(69);
    expect(err).toMatch(/^sluice: no agent answers at .*agent\.sock\. Start it .*sudo/);
  }
});

test("a broken configuration does not keep anyone from the agent that runs", async () => {
  await startAgent();
  const config = join(directory, "agent.yaml");
  await writeFile(config, "link: {endpont: x}\n");
  expect((await run(["status", "--config", config])).exitCode).toBe(0);
});

test("doctor says which box's agent runs, and that it was asked to look at another's configuration", async () => {
  source.current = sampleStatus({});
  await startAgent();
  const checksOf = async (env: Record<string, string>) => {
    const { out } = await run(["doctor", "--json"], {
      env: { SLUICE_STATE_DIR: directory, SLUICE_CONFIG: "/dev/null", ...env },
    });
    const { checks } = JSON.parse(out) as {
      checks: { name: string; outcome: string; found: string; advice?: string }[];
    };
    return ["configuration", "agent"].map((name) => checks.find((check) => check.name === name));
  };
  const { boxId, pid, link } = sampleStatus({});
  const found = `runs as ${boxId} (pid ${pid}), link ${link.state}`;
  expect(await checksOf({})).toEqual([
    { name: "configuration", outcome: "ok", found: "names no box: it is called as it was enrolled" },
    { name: "agent", outcome: "ok", found },
  ]);
  expect(await checksOf({ SLUICE_BOX_ID: boxId })).toMatchObject([{ found: `of box ${boxId}` }, { outcome: "ok" }]);
  expect(await checksOf({ SLUICE_BOX_ID: "another" })).toMatchObject([
    { found: "of box another" },
    { outcome: "warn", found, advice: expect.stringContaining("--config") },
  ]);
});

test("who enrols is told to start the agent where the key is", async () => {
  const enrol = async () => ({ hub: "https://hub.example/", state: "approved", mustRestartAgent: false }) as const;
  const said = async (...flags: string[]) =>
    (await run(["enrol", "sluice1.x", "--id", "north", ...flags], { enrol })).out;
  expect(await said()).toContain("Start the agent: sudo systemctl start sluice-agent, or sluice agent\n");
  expect(await said("--state-dir", directory)).toContain(`\nStart the agent: sluice agent --state-dir ${directory}\n`);
});

test("explain gives the reasons, and exits 66 for what nobody knows", async () => {
  await startAgent();
  const known = await run(["explain", "cam-1"]);
  expect(known.out).toMatch(/^cam-1 is running for .*\n {2}rtsp:.*\n {2}- Expected by the server\.\n/);
  expect(known.exitCode).toBe(0);
  expect((await run(["explain", "cam-9"])).exitCode).toBe(66);
  const wrong = await run(["explain", "--", "-rf"]);
  expect(wrong).toMatchObject({ exitCode: 64, err: expect.stringContaining('id was given "-rf"; it must be') });
});

test("reconcile prints its line", async () => {
  await startAgent();
  expect(await run(["reconcile"])).toEqual({
    exitCode: 0,
    out: "Reconciliation completed: 2 kept, 1 started, 0 stopped\n",
    err: "",
  });
});

test("logs prints the last lines; with -f it follows across rotation until Ctrl-C", async () => {
  const path = join(directory, "cam.log");
  await writeFile(path, "one\ntwo\n");
  source.logFiles.set("cam-1", path);
  await startAgent();
  expect((await run(["logs", "cam-1", "-n", "1"])).out).toBe("two\n");

  const stop = new AbortController();
  const context = createTestContext(directory, { signal: stop.signal });
  const ended = runProgram(["logs", "cam-1", "-f", "-n", "1"], context);
  await eventually(context, (out) => out === "two\n");
  await rename(path, `${path}.1`);
  await writeFile(path, "three\n");
  await appendFile(path, "four\n");
  await eventually(context, (out) => out === "two\nthree\nfour\n");
  stop.abort();
  expect(await ended).toBe(0);
});

test("logs of what is not there says so", async () => {
  await startAgent();
  expect(await run(["logs", "cam-9"])).toMatchObject({
    exitCode: 66,
    err: "sluice: nothing named cam-9 has a log on this box\n",
  });
  expect(await run(["logs", "cam-1", "-n", "many"])).toMatchObject({ exitCode: 64 });
});

test("cleanup asks a running agent, and exits 75 when something would not die", async () => {
  source.cleaned = {
    processes: [
      { pid: 10, workloadId: "cam-1", generation: 1, outcome: "kept", reason: "expected" },
      { pid: 11, workloadId: "cam-2", generation: 3, outcome: "unkillable", reason: "survived SIGKILL" },
    ],
  };
  await startAgent();
  const { exitCode, out } = await run(["cleanup"]);
  expect(exitCode).toBe(75);
  expect(out).toBe(
    "pid 10 (cam-1, generation 1) kept: expected\npid 11 (cam-2, generation 3) COULD NOT BE STOPPED: survived SIGKILL\n",
  );
});

test("cleanup without an agent does it by itself, with the same options", async () => {
  const asked: unknown[] = [];
  const { exitCode, out } = await run(["cleanup", "--dry-run", "--json"], {
    cleanupWithoutAgent: async ({ files, box }, wanted) => {
      asked.push(files.stateDir, box.id, wanted);
      return { processes: [{ pid: 9, workloadId: "a", generation: 1, outcome: "would-stop", reason: "r" }] };
    },
  });
  expect(asked).toEqual([directory, "gate", { dryRun: true, scope: "strays" }]);
  expect(exitCode).toBe(0);
  expect(JSON.parse(out).processes).toHaveLength(1);
});

test("agent hands over the options, all flags included", async () => {
  const started: LoadedOptions[] = [];
  const { exitCode, err } = await run(
    ["agent", "--link-endpoint", "http://hub/events", "--box-labels", "a=b", "--stop-streams-on-exit"],
    { runAgent: async (loaded) => void started.push(loaded) },
  );
  expect(err).toBe("");
  expect(exitCode).toBe(0);
  expect(started[0]?.options).toMatchObject({
    box: { labels: { a: "b" } },
    link: { endpoint: "http://hub/events" },
    shutdown: { streams: "stop" },
  });
});

test("agent with a wrong configuration starts nothing, names every problem and exits 78", async () => {
  const { exitCode, err } = await run([
    "agent",
    "--box-id",
    "../x",
    "--lnk-endpoint",
    "http://a:s3cret@hub/",
    "--boot-on-reboot=no",
  ]);
  expect(exitCode).toBe(78);
  expect(err).toMatchInlineSnapshot(`
    "sluice: the configuration has 3 problems; nothing was started:
      - command line: --lnk-endpoint is not a flag; did you mean --link-endpoint?
      - --box-id: box.id was given "../x"; allowed: 1 to 63 letters, digits, dots, dashes or underscores, not starting with . or -
      - --boot-on-reboot: boot.onReboot was given "no"; allowed: clear or resume
    "
  `);
});

test.each([
  [["--help"], "Usage: sluice"],
  [["help", "status"], "Usage: sluice status"],
  [["agent", "--help"], "SSE_RETRY_DELAY"],
  [["doctor", "--help"], "It changes nothing"],
  [["--version"], "sluice 0.1.0"],
  [["version"], "sluice 0.1.0 (node 24"],
])("%j prints its text and exits 0", async (args, text) => {
  const { exitCode, out } = await run(args);
  expect(exitCode).toBe(0);
  expect(out).toContain(text);
});

test.each([
  [["statsu"], "did you mean status"],
  [["explain"], "missing required argument"],
  [["status", "--jsn"], "--json"],
])("%j is a usage error with a hint", async (args, hint) => {
  const { exitCode, err, out } = await run(args);
  expect(exitCode).toBe(64);
  expect(out).toBe("");
  expect(err.toLowerCase()).toContain(hint);
  expect(err).toMatch(/^sluice: /);
});
