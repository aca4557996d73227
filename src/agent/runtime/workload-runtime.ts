import { AppError } from "../../base/errors.ts";
import type { ProcessIdentity } from "../../base/process-identity.ts";
import type { SessionPlatformName } from "../../contract/session-spec.ts";
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
  /** Ends the start when it is not wanted any more: fetching an image may take long. */
  readonly signal: AbortSignal;
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

/**
 * A session that runs, and what its keeper asks of it beside a start and a stop. What asks the platform rejects with an
 * `AppError` while that cannot be asked.
 */
export interface SessionRun extends RunHandle {
  readonly platform: SessionPlatformName;
  /** Container id, process number or Deployment, for who looks on the box. */
  readonly instance: string;
  /** False: it can only be stopped. */
  readonly canFreeze: boolean;
  /** It stands still, and keeps its memory. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  isFrozen(): Promise<boolean>;
  /** Where its ports can be reached as it runs now, in the order of the spec. */
  endpoints(): Promise<readonly RunEndpoint[]>;
  /** Gives it these limits while it runs. Absent: somebody else sees to them. */
  limit?(resources: SessionWorkload["resources"]): Promise<void>;
  /** Of all its processes. Undefined where that cannot be known. */
  usage(): Promise<RunUsage | undefined>;
  /** A process of this box in whose network its ports are. Undefined: they are the box's own, or on no box. */
  networkPid(): number | undefined;
}

export interface RunEndpoint {
  /** Where the application listens. */
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  /** Where it can be reached on the box. */
  readonly address: string;
  readonly hostPort: number;
}

export interface RunUsage {
  /** Processor time since it was started; only grows. */
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

/** The run of a session, where it is one. */
export function sessionRun(handle: RunHandle | undefined): SessionRun | undefined {
  return handle !== undefined && isSession(handle) ? handle : undefined;
}

function isSession(handle: RunHandle): handle is SessionRun {
  return "canFreeze" in handle;
}

export interface FoundRun {
  readonly label: string;
  readonly mark: ProcessMark;
  readonly identity?: ProcessIdentity;
  /** Absent: a process of this box. */
  readonly engine?: EngineName;
  /** Wall time at which it ended, where its platform still tells how. Adopted, it has just ended. */
  readonly endedAtWallMs?: number;
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

/** A platform that runs sessions. Every call has a limit of its own: one that hangs holds up nobody for longer. */
export interface Engine {
  readonly name: EngineName;
  /**
   * A session has one instance at most: one of the same spec is started again with all its files, another is replaced.
   * Rejects with an `AppError`, `unavailable` while the platform is away.
   */
  start(mark: ProcessMark, launch: EngineLaunch, files: WorkloadFiles): Promise<SessionRun>;
  /** What of this box's runs there, or has ended there and not been started since; rejects while it cannot be asked. */
  sweep(): Promise<readonly FoundRun[]>;
  /** As of the last look. Not ready before all that it runs of this box's has been adopted. */
  status(): EngineStatus;
  /** This session is expected no more: what its stop has left goes, volumes that are kept aside. Never rejects. */
  discard(workloadId: string): Promise<void>;
  /** Looks after the connection, and what discarded sessions may have left there, until the signal. */
  run(signal: AbortSignal, hooks: EngineHooks): Promise<void>;
}

export interface EngineHooks {
  /** It answers, for the first time or again: what it runs is adopted before it counts as ready. */
  readonly onAppeared: () => Promise<void>;
  /** Its status has changed. */
  readonly onChange: () => void;
  /** False: nothing expects this session any more, and everything that could has spoken. */
  readonly isKept: (workloadId: string) => boolean;
  /** An expected session waits for it. */
  readonly isAwaited: () => boolean;
}

export interface EngineStatus {
  readonly isReady: boolean;
  /** Why it is not. */
  readonly reason?: string;
  readonly version?: string;
}

export function createWorkloadRuntime(
  processes: ProcessRuntime,
  engines: ReadonlyMap<EngineName, Engine> = new Map(),
  asSession: (handle: ProcessHandle) => RunHandle = (handle) => handle,
): WorkloadRuntime {
  /** What a session's keeper asks is the same of all that carries one. */
  const carried = (handle: ProcessHandle | undefined): RunHandle | undefined =>
    handle?.mark.kind === "session" ? asSession(handle) : handle;
  const sweepProcesses = async (except: ReadonlySet<number> | undefined): Promise<readonly FoundRun[]> =>
    (await processes.sweep(except)).map(({ identity, mark, isLeader }) => ({
      label: `pid ${identity.pid}`,
      mark,
      identity,
      isLeader,
      order: identity.startTicks,
      adopt: () => carried(processes.adopt(identity, mark)),
    }));
  return {
    start: async (mark, launch, files) => {
      if (!("engine" in launch)) {
        const handle = await processes.start(mark, launch, files);
        return carried(handle) ?? handle;
      }
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
