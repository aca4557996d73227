import { type ChildProcess, spawn } from "node:child_process";
import { join, resolve } from "node:path";
import { systemClock, type Timer } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { createLocalAgent, type LocalAgent } from "../../src/client/local-agent.ts";
import type { AgentStatus } from "../../src/contract/local-status.ts";
import { AGENT_ENVIRONMENT, AGENT_NODE_OPTIONS } from "../agent-runtime.ts";
import { MAIN_PROGRAM } from "../main-program.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const ANSWER_MS = 3000;
const END_MS = 20_000;
const KEEP_OUTPUT_CHARACTERS = 64 * 1024;

export interface AgentEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** An agent in a process of its own, started the way `scripts/sluice` starts it. */
export interface AgentProcess {
  readonly stateDir: string;
  /** Starts the next one. */
  start(preload?: Preload): void;
  /** Of the one that runs. */
  pid(): number | undefined;
  /** False when none runs. */
  signal(name: NodeJS.Signals): boolean;
  /** Sends the signal and waits for the end; `timeout` when it survives for 20 s. */
  end(name: NodeJS.Signals): Promise<void>;
  /** Resolves when the present one has ended, at once when there is none. */
  ended(): Promise<AgentEnd | undefined>;
  /** A second one beside it, to its end. */
  startSecond(): Promise<AgentEnd>;
  /** Rejects while none answers. */
  status(): Promise<AgentStatus>;
  readonly local: LocalAgent;
  /** What all of them wrote, the last part of it. */
  output(): string;
  /** Number of starts. */
  starts(): number;
}

/** A module that is loaded into the agent before its own code, and what it reads from the environment. */
export interface Preload {
  readonly path: string;
  readonly environment: Readonly<Record<string, string>>;
}

export interface AgentProcessOptions {
  readonly stateDir: string;
  readonly home: string;
  readonly boxId: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly preload?: Preload;
  /** The sources as they are, and not what was built of them. */
  readonly fromSource?: boolean;
}

export function createAgentProcess(options: AgentProcessOptions): AgentProcess {
  const { stateDir } = options;
  const local = createLocalAgent({ socketPath: join(stateDir, "agent.sock"), timeoutMs: ANSWER_MS });
  let current: { readonly child: ChildProcess; readonly ended: Promise<AgentEnd> } | undefined;
  let output = "";
  let starts = 0;

  const launch = (preload: Preload | undefined) => {
    const main = options.fromSource === true ? ["--no-warnings", MAIN_PROGRAM] : [join(ROOT, "build/main.js")];
    const preloading = preload === undefined ? [] : ["--import", preload.path];
    const child = spawn(process.execPath, [...AGENT_NODE_OPTIONS, ...preloading, ...main, "agent"], {
      cwd: options.home,
      // Ctrl-C in a terminal goes to the whole group: this agent is ended by its harness alone.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"],
        HOME: options.home,
        NODE_COMPILE_CACHE: join(ROOT, "build/cache"),
        ...AGENT_ENVIRONMENT,
        SLUICE_CONFIG: "/dev/null",
        SLUICE_STATE_DIR: stateDir,
        SLUICE_BOX_ID: options.boxId,
        ...options.environment,
        ...preload?.environment,
      },
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        output = (output + text).slice(-KEEP_OUTPUT_CHARACTERS);
      });
    }
    const ended = new Promise<AgentEnd>((done) => {
      child.once("exit", (code, signal) => done({ code, signal }));
      child.once("error", (error) => {
        output += messageOf(error);
        done({ code: null, signal: null });
      });
    });
    return { child, ended };
  };

  return {
    stateDir,
    local,
    start: (preload = options.preload) => {
      if (current !== undefined) throw new AppError("conflict", "an agent runs already");
      starts++;
      const started = launch(preload);
      current = started;
      void started.ended.then(() => {
        if (current === started) current = undefined;
      });
    },
    pid: () => current?.child.pid,
    signal: (name) => current?.child.kill(name) ?? false,
    end: async (name) => {
      if (current === undefined) return;
      const { child, ended } = current;
      child.kill(name);
      let late: Timer | undefined;
      const limit = new Promise<never>((_, reject) => {
        const message = `the agent (pid ${child.pid}) survived ${name} for ${END_MS} ms`;
        late = systemClock.timer(END_MS, () => reject(new AppError("timeout", message)));
      });
      await Promise.race([ended, limit]).finally(() => late?.clear());
    },
    ended: async () => current?.ended,
    startSecond: () => launch(undefined).ended,
    status: () => local.status(AbortSignal.timeout(ANSWER_MS)),
    output: () => output,
    starts: () => starts,
  };
}
