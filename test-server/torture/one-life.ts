import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { REGISTRY_FORMAT } from "../../src/agent/registry/registry.ts";
import type { Clock } from "../../src/base/clock.ts";
import { parseDocument } from "../../src/base/document.ts";
import { messageOf } from "../../src/base/errors.ts";
import { hashOfDirectory, runDirectoryCandidates } from "../../src/base/run-directory.ts";
import type { Workload } from "../../src/contract/workload.ts";
import { createTestServer, type TestServer } from "../server.ts";
import { type AgentProcess, createAgentProcess } from "./agent-process.ts";
import { findOwnProcesses, type OwnProcesses, signalQuietly } from "./own-processes.ts";
import { violation } from "./violation.ts";

const PRELOAD = resolve(import.meta.dirname, "../programs/die-at-effect.js");

export interface LifeDeps {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export const NEVER = 0;
const SCENE_MS = 20_000;
const RECOVERY_MS = 20_000;
/** Each look goes through the whole process table. */
const POLL_MS = 80;

/** One life of an agent, and its successor's recovery. */
export interface Life {
  readonly wasKilled: boolean;
  readonly effects: number;
  readonly recoveryMs: number;
}

export interface LifeOptions {
  /** Number of the effect before which it is killed, or `NEVER`. */
  readonly dieAt: number;
  readonly home: string;
  readonly ffmpegPath: string;
}

/** Lives it in a world of its own. Rejects with `violated` when the successor does not find its way. */
export async function liveOnce({ dieAt, home, ffmpegPath }: LifeOptions, deps: LifeDeps): Promise<Life> {
  const stateDir = join(home, "state");
  const effectsFile = join(home, "effects");
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  writeFileSync(effectsFile, "");
  const runDirectory =
    runDirectoryCandidates({ stateDir, userId: process.getuid?.() ?? 0 }, hashOfDirectory(stateDir))[0] ?? "";
  await using made = new AsyncDisposableStack();
  made.defer(() => rm(runDirectory, { recursive: true, force: true }));
  const processes = findOwnProcesses({ stateDir, home });
  made.defer(() => processes.sweep());
  const server = made.use(await createTestServer({ port: 0, rtmpPort: undefined, beatMs: 1000 }));
  const boxId = `life-${dieAt}`;
  const agent = createAgentProcess({
    stateDir,
    home,
    boxId,
    environment: {
      SSE_ENDPOINT: `${server.origin}/v1/boxes/${boxId}/events`,
      SLUICE_REPORT_ENDPOINT: `${server.origin}/v1/boxes/${boxId}/report`,
      SSE_RETRY_DELAY: "0.2",
      SLUICE_STREAMS_FFMPEG_PATH: ffmpegPath,
      // A program that only sleeps shows no media, and is none the worse for it here.
      SLUICE_STREAMS_START_DEADLINE_SECONDS: "600",
      SLUICE_RECONCILE_INTERVAL_SECONDS: "1",
    },
  });
  made.defer(() => agent.end("SIGKILL"));
  const roots = `${stateDir}:${runDirectory}`;
  const environment = { DIE_AT_EFFECT: String(dieAt), EFFECTS_FILE: effectsFile, EFFECT_ROOTS: roots };
  agent.start({ path: PRELOAD, environment });
  const end = agent.ended();
  await playScenes({ agent, processes, server }, deps);
  await agent.end("SIGTERM");
  const wasKilled = (await end)?.signal === "SIGKILL";
  const effects = readFileSync(effectsFile, "utf8").split("\n").length - 1;
  // Their settings are those that the server wants, whenever the agent died: nothing may have touched them.
  const keep = processes.marked().filter(({ workloadId }) => workloadId === "steady" || workloadId === "late");

  const startMs = deps.clock.monotonicMs();
  agent.start();
  await untilRecovered({ agent, processes, server }, deps);
  const running = processes.marked();
  for (const { workloadId, pid } of keep) {
    if (running.some((process) => process.pid === pid)) continue;
    throw violation("kept", `${workloadId} ran as pid ${pid} and was started again; ${lastLines(agent, effectsFile)}`);
  }
  return { wasKilled, effects, recoveryMs: deps.clock.monotonicMs() - startMs };
}

interface Stage {
  readonly agent: AgentProcess;
  readonly processes: OwnProcesses;
  readonly server: TestServer;
}

/** Start, update, restart, stop. Goes on with the next scene when the agent has died: the server does not wait either. */
async function playScenes({ agent, processes, server }: Stage, deps: LifeDeps): Promise<void> {
  const until = async (isOver: () => boolean, what: string) => {
    const endMs = deps.clock.monotonicMs() + SCENE_MS;
    while (agent.pid() !== undefined && !isOver()) {
      if (deps.clock.monotonicMs() > endMs) throw violation("settled", `${what} did not come; ${agent.output()}`);
      await deps.clock.delay(POLL_MS, deps.signal);
    }
  };
  const pidOf = (id: string) => processes.marked().find(({ workloadId }) => workloadId === id)?.pid;

  server.putStreams(stream("steady", 1), stream("changing", 1), stream("leaving", 1));
  await until(() => processes.marked().length === 3, "the start");
  const before = pidOf("changing");
  server.putStreams(stream("changing", 2), stream("late", 1));
  await until(() => pidOf("late") !== undefined && ![before, undefined].includes(pidOf("changing")), "the update");
  const victim = pidOf("steady");
  if (agent.pid() !== undefined && victim !== undefined) signalQuietly(victim, "SIGKILL");
  await until(() => ![victim, undefined].includes(pidOf("steady")), "the restart");
  server.set.remove(["leaving"]);
  await until(() => pidOf("leaving") === undefined, "the stop");
  // The record of it goes after the process.
  await until(() => registryIds(agent.stateDir) === "changing,late,steady", "the last record");
}

async function untilRecovered({ agent, processes, server }: Stage, deps: LifeDeps): Promise<void> {
  const expected = server.set
    .snapshot()
    .workloads.map(({ id }) => id)
    .sort();
  const endMs = deps.clock.monotonicMs() + RECOVERY_MS;
  for (;;) {
    const problem = await problemOf(expected, { agent, processes }).catch(messageOf);
    if (problem === undefined) return;
    if (deps.clock.monotonicMs() > endMs) throw violation("settled", `${problem}; ${agent.output()}`);
    await deps.clock.delay(POLL_MS, deps.signal);
  }
}

async function problemOf(
  expected: readonly string[],
  { agent, processes }: Omit<Stage, "server">,
): Promise<string | undefined> {
  const { workloads, link } = await agent.status();
  if (link.state !== "live") return `the link is ${link.state}`;
  const running = processes.marked().map(({ workloadId, pid }) => `${workloadId}=${pid}`);
  const told = workloads.flatMap(({ id, pid }) => (pid === undefined ? [] : `${id}=${pid}`));
  if (running.sort().join() !== told.sort().join()) return `running ${running}, told ${told}`;
  if (running.map((entry) => entry.replace(/=.*/, "")).join() !== expected.join()) {
    return `running ${running}, expected ${expected}`;
  }
  return registryIds(agent.stateDir) === expected.join()
    ? undefined
    : `the registry holds ${registryIds(agent.stateDir)}`;
}

function registryIds(stateDir: string): string {
  try {
    const parsed = parseDocument(readFileSync(join(stateDir, "registry.json"), "utf8"), REGISTRY_FORMAT);
    const { records = [] }: { records?: readonly { id?: unknown }[] } =
      parsed.kind === "good" ? Object(parsed.data) : {};
    return records
      .map(({ id }) => String(id))
      .sort()
      .join();
  } catch {
    return "nothing";
  }
}

const PORTS: Readonly<Record<string, number>> = { steady: 9, changing: 10, leaving: 11, late: 12 };

/** Each has a publishing point of its own, the same in all versions: the new one starts when the old one has ended. */
function stream(id: string, version: number): Workload {
  const outputs = [{ url: `udp://127.0.0.1:${PORTS[id] ?? 13}?pkt_size=1316&version=${version}` }];
  return { kind: "stream", id, spec: { input: { url: "test://bars?tone=0" }, outputs } };
}

function lastLines(agent: AgentProcess, effectsFile: string): string {
  const effects = readFileSync(effectsFile, "utf8").trimEnd().split("\n").slice(-3).join(" | ");
  return `last effects: ${effects}; the agent said:\n${agent.output().split("\n").slice(-25).join("\n")}`;
}
