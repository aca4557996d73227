import { execa } from "execa";
import type { Clock } from "./clock.ts";
import { AppError } from "./errors.ts";
import { sendSignal } from "./send-signal.ts";
import { spawnError } from "./spawn-error.ts";

/** How a program ended. Exactly one of the two is null, unless its end was never seen. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface DetachedLaunch {
  readonly file: string;
  readonly args: readonly string[];
  /** Set beside the minimal environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Open descriptors, best with O_APPEND. They are copied: the caller closes its own. */
  readonly stdoutFd: number;
  readonly stderrFd: number;
}

/** A child in its own session that outlives this process. Standard input is `/dev/null`. */
export interface DetachedChild {
  readonly pid: number;
  /** Settles on the kernel's word (`exit`), not when descriptors close. Never rejects. */
  readonly exited: Promise<ExitStatus>;
}

export interface ProgramOptions {
  readonly timeoutMs: number;
  /** For each of the two outputs. What comes after is read and thrown away. */
  readonly maxOutputBytes: number;
  readonly signal?: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** `latin1`: each byte is one character. */
  readonly encoding?: "utf8" | "latin1";
}

export interface ProgramResult extends ExitStatus {
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/**
 * Runs a program to its end. At the deadline its whole process group gets SIGTERM, then SIGKILL; nothing of it outlives
 * the call. Rejects with `not-found` or `exhausted` when it cannot be started, with the signal's reason when that aborts.
 * A failing program is a result, not an error.
 */
export type RunProgram = (file: string, args: readonly string[], options: ProgramOptions) => Promise<ProgramResult>;

export interface Spawner {
  /** Rejects with `not-found`, `exhausted` or `internal`. The child exists, unreaped, when the promise settles. */
  spawnDetached(launch: DetachedLaunch): Promise<DetachedChild>;
  readonly runProgram: RunProgram;
}

export interface SpawnerOptions {
  /** This process's environment, of which children get only `PATH`, `TZ` and `HOME`. */
  readonly ambient: Readonly<Record<string, string | undefined>>;
}

/** From SIGTERM to SIGKILL, and from SIGKILL until a program is given up as unkillable. */
const KILL_GRACE_MS = 1000;
/** How long a grandchild that inherited the pipes may hold up the result. */
const DRAIN_MS = 200;

export function createSpawner(options: SpawnerOptions, deps: { readonly clock: Clock }): Spawner {
  const environment = minimalEnvironment(options.ambient);
  return {
    spawnDetached: (launch) => spawnDetached(launch, environment),
    runProgram: (file, args, programOptions) =>
      runProgram({ file, args, ...programOptions, env: { ...environment, ...programOptions.env } }, deps.clock),
  };
}

/** What every child gets: nothing of the agent's own settings or secrets, and messages in one language. */
export function minimalEnvironment(ambient: SpawnerOptions["ambient"]): Record<string, string> {
  const environment: Record<string, string> = {
    PATH: ambient["PATH"] ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    LANG: "C.UTF-8",
    LC_ALL: "C.UTF-8",
  };
  for (const name of ["TZ", "HOME"]) {
    const value = ambient[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}

async function spawnDetached(launch: DetachedLaunch, environment: Record<string, string>): Promise<DetachedChild> {
  const child = execa(launch.file, [...launch.args], {
    // The launch's own names come first: a reader of /proc/PID/environ finds them in its first page.
    env: { ...launch.env, ...environment, ...launch.env },
    extendEnv: false,
    detached: true,
    cleanup: false,
    reject: false,
    buffer: false,
    stdin: "ignore",
    stdout: toExecaDescriptor(launch.stdoutFd),
    stderr: toExecaDescriptor(launch.stderrFd),
    ...(launch.cwd === undefined ? {} : { cwd: launch.cwd }),
  });
  const exited = new Promise<ExitStatus>((resolve) => {
    child.nodeChildProcess.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const { pid } = child;
  if (pid === undefined) throw spawnError(launch.file, await child);
  child.nodeChildProcess.unref();
  return { pid, exited };
}

/** execa takes any descriptor, but its types count only to 9. */
function toExecaDescriptor(fd: number): 3 {
  if (!Number.isInteger(fd) || fd < 0) throw new AppError("internal", `${fd} is not an open file descriptor`);
  return fd as 3;
}

interface Program extends ProgramOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Record<string, string>;
}

async function runProgram(program: Program, clock: Clock): Promise<ProgramResult> {
  program.signal?.throwIfAborted();
  const child = execa(program.file, [...program.args], {
    env: program.env,
    extendEnv: false,
    detached: true,
    cleanup: false,
    reject: false,
    buffer: false,
    stdin: "ignore",
    ...(program.cwd === undefined ? {} : { cwd: program.cwd }),
  });
  const { pid } = child;
  if (pid === undefined) throw spawnError(program.file, await child);

  const stdout = collect(child.stdout, program.maxOutputBytes);
  const stderr = collect(child.stderr, program.maxOutputBytes);
  let timedOut = false;
  const status = await new Promise<ExitStatus>((resolve) => {
    let timer = clock.timer(program.timeoutMs, () => {
      timedOut = true;
      end();
    });
    const end = () => {
      timer.clear();
      sendSignal(-pid, "SIGTERM");
      timer = clock.timer(KILL_GRACE_MS, () => {
        sendSignal(-pid, "SIGKILL");
        timer = clock.timer(KILL_GRACE_MS, () => finish({ code: null, signal: null }));
      });
    };
    const finish = (result: ExitStatus) => {
      timer.clear();
      program.signal?.removeEventListener("abort", end);
      resolve(result);
    };
    child.nodeChildProcess.once("exit", (code, signal) => {
      sendSignal(-pid, "SIGKILL");
      finish({ code, signal });
    });
    program.signal?.addEventListener("abort", end, { once: true });
  });

  await drain([stdout, stderr], clock);
  program.signal?.throwIfAborted();
  return { ...status, stdout: stdout.text(program.encoding), stderr: stderr.text(program.encoding), timedOut };
}

interface Collected {
  readonly ended: Promise<void>;
  text(encoding?: "utf8" | "latin1"): string;
  destroy(): void;
}

function collect(stream: NodeJS.ReadableStream & { destroy(): void }, maxBytes: number): Collected {
  const chunks: Buffer[] = [];
  let room = maxBytes;
  stream.on("data", (chunk: Buffer) => {
    if (room <= 0) return;
    chunks.push(chunk.subarray(0, room));
    room -= chunk.length;
  });
  const ended = new Promise<void>((resolve) => {
    stream.once("close", resolve);
    stream.once("error", () => resolve());
  });
  return {
    ended,
    text: (encoding = "utf8") => Buffer.concat(chunks).toString(encoding),
    destroy: () => stream.destroy(),
  };
}

async function drain(outputs: readonly Collected[], clock: Clock): Promise<void> {
  let timer: { clear(): void } | undefined;
  const limit = new Promise<void>((resolve) => {
    // A loop that was held up comes to the timer before it comes to what lies in the pipes.
    timer = clock.timer(DRAIN_MS, () => setImmediate(() => setImmediate(resolve)));
  });
  await Promise.race([Promise.all(outputs.map(({ ended }) => ended)), limit]);
  timer?.clear();
  for (const output of outputs) output.destroy();
}
