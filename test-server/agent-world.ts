import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { AppError, messageOf } from "../src/base/errors.ts";
import { createProcessTable } from "../src/base/process-table.ts";
import { openRunDirectory } from "../src/base/run-directory.ts";
import { createLocalAgent } from "../src/client/local-agent.ts";
import type { AgentStatus, WorkloadStatus } from "../src/contract/local-status.ts";
import { MAIN_PROGRAM } from "./main-program.ts";
import type { TestServerOptions } from "./options.ts";
import { createTestServer, type TestServer } from "./server.ts";

/** Between looks: most of what is waited for comes at once, and what takes long must not be slowed by being looked at. */
const FIRST_LOOKS = { count: 8, everyMs: 25 } as const;
const LATER_LOOKS_MS = 100;
const ANSWER_MS = 10_000;
const STOP_MS = 15_000;
const KEEP_OUTPUT_CHARACTERS = 256 * 1024;

export interface AgentWorldOptions {
  /** Kept at the end; a fresh directory that is removed at the end unless given. */
  readonly stateDir?: string;
  readonly server?: Partial<TestServerOptions>;
  /** The agents go to the hub with which this box is enrolled, and not to the test server. */
  readonly goesToHub?: boolean;
  /** Path and query of the agent's endpoint on the test server; `/v1/boxes/<box>/events` unless given. */
  readonly eventsPath?: string;
  /** Further arguments of every agent of this world: `["--link-retry-delay", "0.2s"]`. */
  readonly agentArguments?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** The agent and its streams live there; root only. */
  readonly namespace?: string;
  /** Under which the agent asks for the server; the server's address unless given. */
  readonly serverName?: string;
}

export interface RunningAgent {
  readonly pid: number;
  /** What it wrote to both outputs, the last part of it. */
  output(): string;
  /** Never rejects. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/** A test server with RTMP on free ports, and a real agent process beside it with a state directory of its own. */
export interface AgentWorld extends AsyncDisposable {
  readonly server: TestServer;
  readonly boxId: string;
  readonly stateDir: string;
  /** Resolves when the agent answers at its socket. Rejects with its output when it ends before that. */
  startAgent(extraArguments?: readonly string[]): Promise<RunningAgent>;
  agent(): RunningAgent | undefined;
  /** Sends the signal and waits until the agent is gone. Its streams are left as they are. */
  killAgent(signal: NodeJS.Signals): Promise<void>;
  status(): Promise<AgentStatus>;
  workload(id: string): Promise<WorkloadStatus | undefined>;
  /** Polls until the predicate holds and gives its truthy value; `timeout` names `what` and what was last seen. */
  until<Value>(predicate: () => Value | Promise<Value>, what: string, timeoutMs?: number): Promise<NonNullable<Value>>;
  untilState(id: string, state: WorkloadStatus["state"], timeoutMs?: number): Promise<WorkloadStatus>;
  /** Resolves once the agent says that the stream runs and its media has arrived over RTMP. */
  untilRunning(id: string, timeoutMs?: number): Promise<WorkloadStatus>;
  /** Live processes that the agents of this world started, proved by their environment. */
  workloadPids(): readonly number[];
}

export async function createAgentWorld(options: AgentWorldOptions = {}): Promise<AgentWorld> {
  const table = createProcessTable();
  const stateDir = options.stateDir ?? (await mkdtemp(join(tmpdir(), "sluice-world-")));
  const boxId = options.stateDir === undefined ? `world-${stateDir.slice(-6)}` : "try";
  const removeStateDir = async () => {
    if (options.stateDir === undefined) await rm(stateDir, { recursive: true, force: true, maxRetries: 5 });
  };
  const server = await createTestServer({ port: 0, rtmpPort: 0, beatMs: 1000, ...options.server }).catch(
    async (error: unknown) => {
      await removeStateDir();
      throw error;
    },
  );
  const local = createLocalAgent({ socketPath: join(stateDir, "agent.sock"), timeoutMs: ANSWER_MS });
  let current: (RunningAgent & { readonly child: ChildProcess }) | undefined;

  const status = () => local.status(AbortSignal.timeout(ANSWER_MS));
  const workload = async (id: string) => (await status()).workloads.find((candidate) => candidate.id === id);

  const until: AgentWorld["until"] = async (predicate, what, timeoutMs = 40_000) => {
    const endMs = systemClock.monotonicMs() + timeoutMs;
    let last: unknown;
    for (let look = 0; ; look++) {
      try {
        const value = await predicate();
        if (value !== undefined && value !== null && value !== false) return value;
        last = value;
      } catch (error) {
        last = messageOf(error);
      }
      if (systemClock.monotonicMs() > endMs) break;
      await systemClock.delay(look < FIRST_LOOKS.count ? FIRST_LOOKS.everyMs : LATER_LOOKS_MS);
    }
    const output = current?.output().split("\n").slice(-30).join("\n");
    throw new AppError(
      "timeout",
      `not within ${timeoutMs} ms: ${what}; last: ${String(last)}\nthe agent said:\n${output}`,
    );
  };

  const untilState: AgentWorld["untilState"] = (id, state, timeoutMs) =>
    until(
      async () => {
        const found = await workload(id);
        return found?.state === state ? found : undefined;
      },
      `${id} is ${state}`,
      timeoutMs,
    );

  /** Every process that was started with this world's state directory: agents and what they started. */
  const ownPids = () => table.pids().filter((pid) => isOfWorld(pid));
  const isOfWorld = (pid: number) =>
    pid !== process.pid && table.environment(pid, stateDir)?.get("SLUICE_STATE_DIR") === stateDir;

  const killAgent = async (signal: NodeJS.Signals) => {
    if (current === undefined) throw new AppError("conflict", "no agent of this world runs");
    const { child, exited } = current;
    child.kill(signal);
    await Promise.race([
      exited,
      systemClock.delay(STOP_MS).then(() => {
        throw new AppError("timeout", `the agent (pid ${child.pid}) survived ${signal} for ${STOP_MS} ms`);
      }),
    ]);
    current = undefined;
  };

  const dispose = async () => {
    if (current !== undefined) await killAgent("SIGTERM").catch(() => current?.child.kill("SIGKILL"));
    // Twice, because a process that is being started while the first sweep runs is not yet in it.
    for (let sweep = 0; sweep < 2; sweep++) {
      for (const pid of ownPids()) killQuietly(pid);
      await until(() => ownPids().length === 0, `the processes of ${stateDir} end`, 5000);
    }
    await server.close();
    rmSync(openRunDirectory({ stateDir, userId: process.getuid?.() ?? 0 }).path, { recursive: true, force: true });
    await removeStateDir();
  };

  return {
    server,
    boxId,
    stateDir,
    startAgent: async (extraArguments = []) => {
      if (current !== undefined) throw new AppError("conflict", "an agent of this world runs already");
      const args = ["--no-warnings", MAIN_PROGRAM, "agent", ...(options.agentArguments ?? []), ...extraArguments];
      const { namespace, serverName } = options;
      const origin = serverName === undefined ? server.origin : `http://${serverName}:${server.port}`;
      // `ip netns exec` becomes the program: the process id is the agent's.
      const inside = namespace === undefined ? [] : ["ip", "netns", "exec", namespace];
      const [file = "", ...rest] = [...inside, process.execPath, ...args];
      const child = spawn(file, rest, {
        stdio: ["ignore", "pipe", "pipe"],
        // Ctrl-C in a terminal goes to the whole group: this agent is ended by its world alone.
        detached: true,
        env: {
          PATH: process.env["PATH"],
          HOME: stateDir,
          TZ: process.env["TZ"],
          SLUICE_STATE_DIR: stateDir,
          SLUICE_BOX_ID: boxId,
          ...(options.goesToHub === true
            ? {}
            : {
                SSE_ENDPOINT: `${origin}${options.eventsPath ?? `/v1/boxes/${boxId}/events`}`,
                SLUICE_REPORT_ENDPOINT: `${origin}/v1/boxes/${boxId}/report`,
              }),
          SSE_RETRY_DELAY: "0.2",
          ...options.environment,
        },
      });
      const agent = watchAgent(child);
      current = agent;
      let isOver = false;
      void agent.exited.then(() => {
        isOver = true;
        if (current === agent) current = undefined;
      });
      await until(async () => isOver || (await status()).pid === agent.pid, "the agent answers at its socket");
      if (isOver) throw new AppError("unavailable", `the agent ended while it started:\n${agent.output()}`);
      return agent;
    },
    agent: () => current,
    killAgent,
    status,
    workload,
    until,
    untilState,
    untilRunning: async (id, timeoutMs = 45_000) => {
      const running = await untilState(id, "running", timeoutMs);
      await server.rtmp?.untilPublishing(id, AbortSignal.timeout(timeoutMs));
      return running;
    },
    workloadPids: () => ownPids().filter((pid) => table.environment(pid, stateDir)?.has("SLUICE_WORKLOAD") === true),
    [Symbol.asyncDispose]: dispose,
  };
}

function watchAgent(child: ChildProcess): RunningAgent & { readonly child: ChildProcess } {
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8");
    stream?.on("data", (text: string) => {
      output = (output + text).slice(-KEEP_OUTPUT_CHARACTERS);
    });
  }
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((done) => {
    child.once("exit", (code, signal) => done({ code, signal }));
    child.once("error", (error) => {
      output += messageOf(error);
      done({ code: null, signal: null });
    });
  });
  return { pid: child.pid ?? -1, output: () => output, exited, child };
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone between the look and the signal.
  }
}
