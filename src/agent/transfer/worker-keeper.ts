import { fullJitterMs } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { LoopProgress } from "../../base/progress-watch.ts";
import type { Random } from "../../base/random.ts";
import { sendSignal } from "../../base/send-signal.ts";
import type { Service } from "../../base/service.ts";
import { minimalEnvironment } from "../../base/spawn.ts";
import type { PipedChild, PipedLaunch } from "../../base/spawn-piped.ts";
import { WORKER_COMMAND } from "../../contract/transfer/worker-command.ts";
import type { WorkerConfig, WorkerCredentials } from "../../contract/transfer/worker-config.ts";
import type { OwnProgram } from "../remote/holders.ts";

export interface WorkerKeeperDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly progress: LoopProgress;
  /** Waits until there are some. */
  readonly credentials: (signal: AbortSignal) => Promise<WorkerCredentials>;
  readonly spawn: (launch: PipedLaunch) => Promise<PipedChild>;
  readonly close: () => void;
}

const RETRY = { baseMs: 1000, maxMs: 30_000 } as const;
/** A worker that ran for so long has not failed at its start: transfers wait for the next one. */
const STEADY_MS = 15_000;
const LOOK_MS = 5000;
const END_MS = 5000;
/** Of an agent's environment. */
const AGENTS_OWN = "MALLOC_MMAP_THRESHOLD_";
/** Reads and writes wait for disks: each thread for one. */
const THREADS = "8";
/**
 * What is garbage in a worker dies young, and is little: threads that help with it cost more than they save, and a young generation that may
 * grow is larger than all that lives. V8 begins with a few MB for the old one, and would look through all of it three times while the
 * first lease comes.
 */
const NODE_OPTIONS = [
  "--single-threaded-gc",
  "--min-semi-space-size=4",
  "--max-semi-space-size=4",
  "--initial-old-space-size=64",
] as const;

/** Keeps one transfer worker up, and tells it a changed key. It ends with its input, so that none outlives the agent. */
export function createWorkerKeeper(
  { config, program }: { readonly config: WorkerConfig; readonly program: OwnProgram },
  deps: WorkerKeeperDeps,
): Service {
  const { clock, log, progress } = deps;

  // By it the C library would ask the kernel for each buffer anew.
  const { [AGENTS_OWN]: _threshold, ...rest } = program.env;

  const runOnce = async (signal: AbortSignal) => {
    let told = JSON.stringify(await deps.credentials(signal));
    const child = await deps.spawn({
      file: program.file,
      argv0: program.file,
      args: [...NODE_OPTIONS, ...program.args, WORKER_COMMAND, JSON.stringify(config)],
      env: { ...minimalEnvironment({}), ...rest, UV_THREADPOOL_SIZE: THREADS },
      cwd: "/",
      hasInput: true,
    });
    log.info(`Began a transfer worker (pid ${child.pid})`);
    let lastWords = "";
    child.output.resume();
    child.errors.setEncoding("utf8");
    child.errors.on("data", (text: string) => {
      lastWords = (lastWords + text).slice(-1000);
    });
    for (const pipe of [child.output, child.errors, child.input]) pipe?.on("error", () => undefined);
    const over = new AbortController();
    void child.exited.then(() => over.abort());
    child.input?.write(`${told}\n`);
    const life = AbortSignal.any([signal, over.signal]);
    while (!life.aborted) {
      progress.advance(LOOK_MS * 2);
      await clock.delay(LOOK_MS, life).catch(() => undefined);
      if (life.aborted) break;
      const now = await deps.credentials(signal).then(JSON.stringify, () => told);
      if (now === told) continue;
      told = now;
      child.input?.write(`${told}\n`);
    }
    child.input?.end();
    const late = clock.timer(END_MS, () => sendSignal(child.pid, "SIGKILL"));
    const { code, signal: by } = await child.exited;
    late.clear();
    if (!signal.aborted) {
      const words = lastWords.trim();
      log.warn(`The transfer worker ended (${by ?? `exit ${code}`})${words === "" ? "" : `: ${words}`}`);
    }
  };

  return {
    name: "transfer",
    run: async (signal) => {
      try {
        for (let failures = 0; !signal.aborted; ) {
          const begunMs = clock.monotonicMs();
          progress.rest();
          try {
            await runOnce(signal);
          } catch (thrown) {
            if (signal.aborted) break;
            log.warn(`The transfer worker cannot be started: ${messageOf(thrown)}. Attempts go on`);
          }
          if (signal.aborted) break;
          failures = clock.monotonicMs() - begunMs > STEADY_MS ? 0 : failures + 1;
          await clock.delay(fullJitterMs(failures, RETRY, deps.random), signal).catch(() => undefined);
        }
      } finally {
        progress.rest();
        deps.close();
      }
    },
  };
}
