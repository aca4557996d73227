import type { ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { hashOfDirectory, runDirectoryCandidates } from "../../src/base/run-directory.ts";
import { createLocalAgent } from "../../src/client/local-agent.ts";
import type { AgentStatus } from "../../src/contract/local-status.ts";
import type { Workload } from "../../src/contract/workload.ts";
import { AGENT_ENVIRONMENT, AGENT_NODE_OPTIONS } from "../../test-server/agent-runtime.ts";
import { createTestServer, type TestServer } from "../../test-server/server.ts";
import { killQuietly, type Lab } from "./lab.ts";

/** Compiled, as `scripts/sluice` runs it. */
const MAIN = resolve(import.meta.dirname, "../../build/main.js");
const ANSWER_MS = 10_000;

export interface AgentLine {
  readonly text: string;
  /** Monotonic, when it reached us. */
  readonly atMs: number;
}

export interface AgentProcess {
  readonly pid: number;
  readonly spawnedAtMs: number;
  /** Of its log, oldest first. */
  readonly lines: readonly AgentLine[];
  /** Gone and reaped. */
  readonly exited: Promise<void>;
}

/** A test server without RTMP in this process, and a real agent beside it in a process of its own. */
export interface AgentBox extends AsyncDisposable {
  readonly server: TestServer;
  start(nodeArguments?: readonly string[]): AgentProcess;
  /** Rejects while no agent answers. */
  status(): Promise<AgentStatus>;
  /** Resolves once the agent answers and has its connection. */
  untilLive(): Promise<void>;
  kill(signal: NodeJS.Signals): Promise<void>;
}

export interface AgentBoxOptions {
  readonly name: string;
  readonly ffmpegPath: string;
  readonly fileRoots?: readonly string[];
  /** Where it connects; to the test server unless given. */
  readonly endpoint?: string;
}

export async function createAgentBox(options: AgentBoxOptions, lab: Lab): Promise<AgentBox> {
  const { name } = options;
  const stateDir = join(lab.directory, name);
  const server = await createTestServer({ port: 0, rtmpPort: undefined });
  const local = createLocalAgent({ socketPath: join(stateDir, "agent.sock"), timeoutMs: ANSWER_MS });
  const events = options.endpoint ?? `${server.origin}/v1/boxes/${name}/events`;
  const volatile = runDirectoryCandidates({ stateDir, userId: process.getuid?.() ?? 0 }, hashOfDirectory(stateDir));
  let current: AgentProcess | undefined;

  const status = () => local.status(AbortSignal.timeout(ANSWER_MS));
  const kill = async (signal: NodeJS.Signals) => {
    if (current === undefined) return;
    const { pid, exited } = current;
    killQuietly(pid, signal);
    await exited;
    current = undefined;
  };

  return {
    server,
    start: (nodeArguments = []) => {
      const spawnedAtMs = performance.now();
      const child = lab.spawn(process.execPath, [...AGENT_NODE_OPTIONS, ...nodeArguments, MAIN, "agent"], {
        stdio: "pipe",
        env: {
          SLUICE_CONFIG: "/dev/null",
          SLUICE_STATE_DIR: stateDir,
          SLUICE_BOX_ID: name,
          SSE_ENDPOINT: events,
          SLUICE_REPORT_ENDPOINT: `${server.origin}/v1/boxes/${name}/report`,
          SLUICE_STREAMS_FFMPEG_PATH: options.ffmpegPath,
          // A program that only sleeps shows no media, and is none the worse for it here.
          SLUICE_STREAMS_START_DEADLINE_SECONDS: "600",
          ...AGENT_ENVIRONMENT,
          ...nodeSettings(),
          ...(options.fileRoots === undefined ? {} : { SLUICE_POLICY_FILE_ROOTS: options.fileRoots.join(",") }),
        },
      });
      current = follow(child, spawnedAtMs);
      return current;
    },
    status,
    untilLive: () =>
      lab.until(
        () =>
          status().then(
            ({ link }) => link.state === "live",
            () => false,
          ),
        `the agent ${name} is connected; it said: ${current?.lines.at(-1)?.text}`,
      ),
    kill,
    [Symbol.asyncDispose]: async () => {
      await kill("SIGKILL");
      await lab.sweep();
      await server.close();
      for (const path of volatile) await rm(path, { recursive: true, force: true });
      await rm(stateDir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** So that settings of Node can be compared: `NODE_OPTIONS=--max-old-space-size=64 scripts/bench/run footprint`. */
function nodeSettings(): Readonly<Record<string, string>> {
  const names = ["NODE_OPTIONS", "NODE_COMPILE_CACHE"];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** An address of this machine for each name: streams that send to one place take turns. */
export function loopbackFor(name: string): string {
  const [first = 0, second = 0, third = 0] = createHash("sha256").update(name).digest();
  return `127.${first}.${second}.${(third % 253) + 2}`;
}

/** A stream that any program can stand in for. */
export function idleStream(id: string): Workload {
  return {
    kind: "stream",
    id,
    spec: {
      input: { url: "test://bars?tone=0" },
      outputs: [{ url: `udp://${loopbackFor(id)}:9/?pkt_size=1316` }],
    },
  };
}

function follow(child: ChildProcess, spawnedAtMs: number): AgentProcess {
  const lines: AgentLine[] = [];
  let rest = "";
  for (const output of [child.stdout, child.stderr]) {
    output?.setEncoding("utf8");
    output?.on("data", (piece: string) => {
      const atMs = performance.now();
      const whole = (rest + piece).split("\n");
      rest = whole.pop() ?? "";
      for (const text of whole) lines.push({ text, atMs });
    });
  }
  const exited = new Promise<void>((done) => {
    child.once("exit", () => done());
    child.once("error", () => done());
  });
  return { pid: child.pid ?? -1, spawnedAtMs, lines, exited };
}
