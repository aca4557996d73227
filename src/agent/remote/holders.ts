import { createHash } from "node:crypto";
import { closeSync, constants, mkdirSync, openSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Spawner } from "../../base/spawn.ts";
import type { HolderAnswer, HolderCall, HolderConfig } from "../../contract/remote/holder-call.ts";
import { HOLDER_COMMAND } from "../../contract/remote/holder-command.ts";
import { LOCAL_API_SOCKET } from "../local-api/local-api.ts";
import { callHolder, isNobodyThere } from "./call-holder.ts";

export interface HoldersOptions {
  readonly runDirectory: string;
  readonly stateDir: string;
  readonly logDirectory: string;
  /** PEM of the box's key, which holders read. */
  readonly keyPath: string;
  readonly version: string;
  /** How this very program is started: its runtime, and what comes before a command's name. */
  readonly program: OwnProgram;
}

export interface OwnProgram {
  readonly file: string;
  readonly args: readonly string[];
  /** Besides what every child gets. */
  readonly env: Readonly<Record<string, string>>;
}

export interface HoldersDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly spawner: Pick<Spawner, "spawnDetached">;
}

/** The processes that hold this box's remote sessions: one of this release, and any of an earlier one that still has some. */
export interface Holders {
  /**
   * Brings it to the holder of this release, which is begun where there is none. `recorded`: resolves when an offer is on disk that says
   * it is not.
   */
  callOwn(call: HolderCall, recorded?: Promise<void>): Promise<HolderAnswer>;
  /** Every holder that answers. */
  living(): Promise<readonly Holder[]>;
  /** The same, with whether there is no other: each of the rest is known to be gone, and none just did not answer. */
  survey(): Promise<HolderSurvey>;
  /** Those of other releases take nothing new, and end with their last session. */
  drainOthers(): Promise<void>;
}

export interface HolderSurvey {
  readonly living: readonly Holder[];
  readonly isWhole: boolean;
}

export interface Holder {
  readonly isOwn: boolean;
  readonly status: NonNullable<HolderAnswer["status"]>;
  call(call: HolderCall): Promise<HolderAnswer>;
}

const START_MS = 10_000;
const POLL_MS = 50;
/**
 * As launchers run what moves bytes (`write_launcher` in `scripts/bootstrap.sh`): what is read is garbage soon, and a small young
 * generation is looked through before so many buffers have gathered, by which the heap may grow, that V8 looks through everything.
 * Not as small as theirs: what waits for its acknowledgement on a busy machine would outlive it, and be found by looking through everything.
 */
export const HOLDER_NODE_OPTIONS = [
  "--single-threaded-gc",
  "--max-semi-space-size=4",
  "--heap-growing-percent=200",
] as const;
/** Of an agent's environment: by it the C library would ask the kernel for each buffer of a read. */
const AGENTS_OWN = "MALLOC_MMAP_THRESHOLD_";
/** In its environment, so that whoever looks at the box sees whose it is. No mark of a workload: no sweep takes it for one. */
const HOLDER_VARIABLE = "SLUICE_HOLDER";

export function createHolders(options: HoldersOptions, deps: HoldersDeps): Holders {
  const { runDirectory, logDirectory, stateDir, version } = options;
  const ownName = `holder-${buildOf(options)}.sock`;
  const ownPath = join(runDirectory, ownName);
  let starting: Promise<void> | undefined;

  const isThere = async () => {
    try {
      await callHolder(ownPath, { call: "status" }, deps);
      return true;
    } catch {
      return false;
    }
  };

  const start = async () => {
    if (await isThere()) return;
    const config: HolderConfig = {
      socketPath: ownPath,
      logDirectory,
      spoolDirectory: join(stateDir, "remote"),
      keyPath: options.keyPath,
      agentSocket: join(stateDir, LOCAL_API_SOCKET),
      version,
    };
    const { program } = options;
    const { [AGENTS_OWN]: _threshold, ...env } = program.env;
    mkdirSync(logDirectory, { recursive: true, mode: 0o700 });
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
    const log = openSync(join(logDirectory, "holder.log"), flags, 0o600);
    try {
      const { pid, exited } = await deps.spawner.spawnDetached({
        file: program.file,
        args: [...HOLDER_NODE_OPTIONS, ...program.args, HOLDER_COMMAND, JSON.stringify(config)],
        env: { ...env, [HOLDER_VARIABLE]: stateDir },
        cwd: "/",
        stdoutFd: log,
        stderrFd: log,
      });
      let isGone = false;
      void exited.then(() => {
        isGone = true;
      });
      const untilMs = deps.clock.monotonicMs() + START_MS;
      while (!(await isThere())) {
        if (isGone || deps.clock.monotonicMs() > untilMs) {
          throw new AppError("unavailable", `the holder of remote sessions (pid ${pid}) did not begin: see holder.log`);
        }
        await deps.clock.delay(POLL_MS);
      }
      deps.log.info(`Began a holder of remote sessions (pid ${pid})`);
    } finally {
      closeSync(log);
    }
  };

  const survey = async (): Promise<HolderSurvey> => {
    let isWhole = true;
    const names = await readdir(runDirectory).catch(() => {
      isWhole = false;
      return [];
    });
    const found = await Promise.all(
      names
        .filter((name) => /^holder-[\w.+-]+\.sock$/.test(name))
        .map(async (name): Promise<Holder[]> => {
          const path = join(runDirectory, name);
          const call = (asked: HolderCall) => callHolder(path, asked, deps);
          try {
            const { status } = await call({ call: "status" });
            if (status !== undefined) return [{ isOwn: name === ownName, status, call }];
            isWhole = false;
          } catch (thrown) {
            if (!isNobodyThere(thrown)) isWhole = false;
          }
          return [];
        }),
    );
    return { living: found.flat(), isWhole };
  };
  const living = async () => (await survey()).living;

  return {
    callOwn: async (call, recorded) => {
      const { clock } = deps;
      try {
        return await callHolder(ownPath, call, { clock, recorded });
      } catch (thrown) {
        if (!isNobodyThere(thrown)) throw thrown;
      }
      // Two offers at a time begin one.
      starting ??= start().finally(() => {
        starting = undefined;
      });
      await starting;
      return callHolder(ownPath, call, { clock, recorded });
    },
    living,
    survey,
    drainOthers: async () => {
      for (const holder of await living()) {
        if (holder.isOwn) continue;
        await holder
          .call({ call: "drain" })
          .catch((thrown: unknown) =>
            deps.log.warn(`A holder of another release does not drain: ${messageOf(thrown)}`),
          );
      }
    },
  };
}

/** Another build of the same release is another program. */
function buildOf({ version, program }: HoldersOptions): string {
  const file = program.args.at(-1) ?? program.file;
  const facts = statSync(file, { throwIfNoEntry: false });
  const text = `${file}\0${facts?.mtimeMs ?? 0}\0${facts?.size ?? 0}\0${facts?.ino ?? 0}`;
  const build = createHash("sha256").update(text).digest("hex").slice(0, 8);
  return `${version.replace(/[^\w.+-]/g, "_")}-${build}`;
}
