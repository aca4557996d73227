import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../../../base/clock.ts";
import { errnoOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { isLive } from "../../../base/proc-stat.ts";
import type { ProcessIdentity } from "../../../base/process-identity.ts";
import type { ListPids } from "../../../base/process-sweep.ts";
import type { KeptProcess, ProcessTable } from "../../../base/process-table.ts";
import { realPath } from "../../../base/real-path.ts";
import type { ExitStatus, Spawner } from "../../../base/spawn.ts";
import { fromSystemError } from "../../../base/system-error.ts";
import type { ProcessMark } from "../run-handle.ts";
import { createExitPoller } from "./exit-poller.ts";
import { createHandle, type HandleDeps } from "./process-handle.ts";
import { isSameLaunch, MARK_VARIABLE, parseMark, toMarkEnvironment } from "./process-mark.ts";
import type { Launch, ProcessRuntime, WorkloadFiles } from "./process-runtime.ts";
import { searchProcesses } from "./process-search.ts";
import { createSurvivors } from "./survivors.ts";
import { rawStdoutPath, writesText } from "./workload-files.ts";

export interface ProcessRuntimeOptions {
  readonly stateDir: string;
}

export interface ProcessRuntimeDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly spawner: Pick<Spawner, "spawnDetached">;
  readonly table: ProcessTable;
  readonly listPids: ListPids;
  /** Gives a process that was just started its place on the box. Must not throw. */
  readonly place: (pid: number, mark: ProcessMark) => void;
  /** Ends the watching, not the processes. */
  readonly signal: AbortSignal;
}

/** Where the kernel hides its boot id, start ticks and nonce alone must do. */
export const UNKNOWN_BOOT_ID = "unknown";

const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
const DISK_REFUSALS: ReadonlySet<string | undefined> = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO"]);
/** The exit status of a process that is not our child goes to its parent. */
const UNKNOWN_STATUS: ExitStatus = { code: null, signal: null };

export function createProcessRuntime(options: ProcessRuntimeOptions, deps: ProcessRuntimeDeps): ProcessRuntime {
  const { table } = deps;
  const stateDir = realPath(options.stateDir);
  const bootId = table.bootId() ?? UNKNOWN_BOOT_ID;
  const poller = createExitPoller(deps);
  const handleDeps: HandleDeps = {
    clock: deps.clock,
    log: deps.log,
    survivors: createSurvivors({ stateDir }, deps),
    pageBytes: table.pageBytes(),
  };

  const isMarked = (pid: number, mark: ProcessMark): ProcessMark | undefined => {
    const environment = table.environment(pid, MARK_VARIABLE);
    const found = environment === undefined ? undefined : parseMark(environment);
    return found !== undefined && found.stateDir === stateDir && isSameLaunch(found.mark, mark)
      ? found.mark
      : undefined;
  };

  return {
    start: async (mark, launch, files) => {
      // First, so that a sweep finds it early, and last, so that no launch can claim to be another.
      const markEnvironment = toMarkEnvironment(mark, stateDir);
      const { child, kept } = await launchInto(files, {
        spawner: deps.spawner,
        table,
        writesText: writesText(mark.kind),
        launch: { ...launch, env: { ...markEnvironment, ...launch.env, ...markEnvironment } },
      });
      // Our own child, not yet reaped: the number cannot be another's.
      if (kept !== undefined) deps.place(child.pid, mark);
      const stat = kept?.stat();
      if (kept === undefined || stat === undefined) {
        kept?.close();
        process.kill(-child.pid, "SIGKILL");
        throw fromSystemError(undefined, `cannot read /proc/${child.pid}/stat of a process that was just started`);
      }
      const identity = { pid: child.pid, startTicks: stat.startTicks, bootId };
      return createHandle(
        { identity, mark, isAdopted: false, kept, ended: child.exited, hurry: notNeeded },
        handleDeps,
      );
    },

    adopt: (identity, mark) => {
      if (identity.bootId !== bootId) return undefined;
      const kept = table.open(identity.pid);
      if (kept === undefined) return undefined;
      const stat = kept.stat();
      const found = isMarked(identity.pid, mark);
      if (!isLive(stat) || stat.startTicks !== identity.startTicks || found === undefined || !isLive(kept.stat())) {
        kept.close();
        return undefined;
      }
      const watch = poller.watch(kept);
      return createHandle(
        {
          identity: { pid: identity.pid, startTicks: identity.startTicks, bootId } satisfies ProcessIdentity,
          mark: found,
          isAdopted: true,
          kept,
          ended: watch.gone.then(() => UNKNOWN_STATUS),
          hurry: watch.hurry,
        },
        handleDeps,
      );
    },

    sweep: (except) => searchProcesses({ stateDir, bootId }, { ...deps, except }),
  };
}

interface LaunchParts {
  readonly spawner: ProcessRuntimeDeps["spawner"];
  readonly table: ProcessTable;
  readonly launch: Launch;
  readonly writesText: boolean;
}

/** The files are opened here and closed again: only the child keeps them. */
async function launchInto(files: WorkloadFiles, { spawner, table, launch, ...parts }: LaunchParts) {
  const open: number[] = [];
  try {
    for (const directory of [dirname(files.progressPath), dirname(files.rawOutputPath)]) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    }
    makeOwnDirectory(files.directory);
    // Counters of the last run are no counters of this one; output that was not read yet is still output.
    const stdoutFd = parts.writesText
      ? openSync(rawStdoutPath(files), APPEND, 0o600)
      : openSync(files.progressPath, APPEND | constants.O_TRUNC, 0o600);
    open.push(stdoutFd);
    const stderrFd = openSync(files.rawOutputPath, APPEND, 0o600);
    open.push(stderrFd);
    const child = await spawner.spawnDetached({ ...launch, stdoutFd, stderrFd });
    const kept = openOrKill(table, child.pid);
    return { child, kept };
  } catch (thrown) {
    if (thrown instanceof Error && "syscall" in thrown) {
      throw fromSystemError(thrown, `cannot prepare the output files in ${files.directory}`);
    }
    throw thrown;
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

/** Only by-products lie there: a disk that is full or read-only must not keep a workload from running. */
function makeOwnDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    if (!DISK_REFUSALS.has(errnoOf(thrown))) throw thrown;
  }
}

function openOrKill(table: ProcessTable, pid: number): KeptProcess | undefined {
  try {
    return table.open(pid);
  } catch (thrown) {
    // Our own child, not yet reaped: the number cannot be another's.
    process.kill(-pid, "SIGKILL");
    throw thrown;
  }
}

function notNeeded(): () => void {
  return () => undefined;
}
