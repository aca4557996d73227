import { AppError } from "../../base/errors.ts";
import type { ProcessIdentity } from "../../base/process-identity.ts";
import type { SessionWorkload } from "../../contract/workload.ts";
import type { EngineOutput } from "./engine-output.ts";
import type {
  Launch,
  ProcessExit,
  ProcessHandle,
  ProcessMark,
  ProcessRuntime,
  ProcessStat,
  StopLadder,
  StopOutcome,
  WorkloadFiles,
} from "./process/process-runtime.ts";

/** What the engine starts, finds, adopts and stops, whatever carries it: a process of this box, or a platform for sessions. */

/** Platforms that hold what they run by themselves, beside plain processes. */
export type EngineName = "docker" | "podman" | "kubernetes";

/** Asks a platform to run a session. It keeps the mark with what it makes, so that the next agent finds it. */
export interface EngineLaunch {
  readonly engine: EngineName;
  readonly workload: SessionWorkload;
}
export type WorkloadLaunch = Launch | EngineLaunch;

/** Something that runs and was proved to be ours. Nothing is signalled or stopped except through a handle. */
export interface RunHandle {
  /** `pid 4242`, `container 3f2a9c…`: for people. */
  readonly label: string;
  /** Absent where it is no process of this box, or not one that only we could end. */
  readonly identity?: ProcessIdentity;
  readonly mark: ProcessMark;
  /** Found running, not started by this agent. */
  readonly isAdopted: boolean;
  /** Settles once, when it is gone. Never rejects. */
  readonly exited: Promise<ProcessExit>;
  stat(): ProcessStat | undefined;
  /** False when it is gone. */
  signal(signal: NodeJS.Signals): boolean;
  /** Climbs the ladder until it is proved gone. */
  stop(ladder: StopLadder): Promise<StopOutcome>;
  /** Absent: what it writes is in its files. */
  readonly output?: EngineOutput;
}

/** The handle of a process of this box, where it is one. */
export function processHandle(handle: RunHandle | undefined): (RunHandle & ProcessHandle) | undefined {
  return handle !== undefined && isProcess(handle) ? handle : undefined;
}

function isProcess(handle: RunHandle): handle is RunHandle & ProcessHandle {
  return handle.identity !== undefined;
}

export interface FoundRun {
  readonly label: string;
  readonly mark: ProcessMark;
  readonly identity?: ProcessIdentity;
  /** False for what a launch left behind: to be stopped, never kept as the workload. */
  readonly isLeader: boolean;
  /** Of two with one generation the later has the higher. */
  readonly order: number;
  /** A handle on it, or undefined when it is no more what was found. */
  adopt(): RunHandle | undefined;
}

export interface WorkloadRuntime {
  start(mark: ProcessMark, launch: WorkloadLaunch, files: WorkloadFiles): Promise<RunHandle>;
  /** For each launch of this box of which something runs, the first of it. `except`: process numbers that need no look. */
  sweep(except?: ReadonlySet<number>): Promise<readonly FoundRun[]>;
}

/** A platform that runs sessions. */
export interface Engine {
  readonly name: EngineName;
  start(mark: ProcessMark, launch: EngineLaunch, files: WorkloadFiles): Promise<RunHandle>;
  /** What of this box's runs there; rejects while it cannot be asked. */
  sweep(): Promise<readonly FoundRun[]>;
}

export function createWorkloadRuntime(
  processes: ProcessRuntime,
  engines: ReadonlyMap<EngineName, Engine> = new Map(),
): WorkloadRuntime {
  const sweepProcesses = async (except: ReadonlySet<number> | undefined): Promise<readonly FoundRun[]> =>
    (await processes.sweep(except)).map(({ identity, mark, isLeader }) => ({
      label: `pid ${identity.pid}`,
      mark,
      identity,
      isLeader,
      order: identity.startTicks,
      adopt: () => processes.adopt(identity, mark),
    }));
  return {
    start: async (mark, launch, files) => {
      if (!("engine" in launch)) return processes.start(mark, launch, files);
      const engine = engines.get(launch.engine);
      if (engine === undefined) throw new AppError("not-found", `this box has no ${launch.engine}`);
      return engine.start(mark, launch, files);
    },
    sweep: async (except) => {
      // What an engine that is away runs goes on there, and is found once it answers again.
      const found = [...engines.values()].map((engine) => engine.sweep().catch(() => []));
      return [...(await sweepProcesses(except)), ...(await Promise.all(found)).flat()];
    },
  };
}
