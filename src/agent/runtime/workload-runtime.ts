import { AppError } from "../../base/errors.ts";
import type { ProcessIdentity } from "../../base/process-identity.ts";
import type { VolumeRule } from "../../contract/session-spec.ts";
import type { SessionWorkload } from "../../contract/workload.ts";
import type { Launch, ProcessHandle, ProcessRuntime, WorkloadFiles } from "./process/process-runtime.ts";
import type { ProcessMark, RunHandle, SessionRun } from "./run-handle.ts";

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
export interface SessionEngine {
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
  /** What becomes of its volumes, by their names, whatever was said when they were made. */
  readonly volumeRules: (workloadId: string) => ReadonlyMap<string, VolumeRule>;
  /** An expected session waits for it. */
  readonly isAwaited: () => boolean;
}

/** What may go of what sessions have left. Asked at that moment. */
export type RemovalRules = Pick<EngineHooks, "isKept" | "volumeRules">;

export interface EngineStatus {
  readonly isReady: boolean;
  /** Why it is not. */
  readonly reason?: string;
  readonly version?: string;
}

export function createWorkloadRuntime(
  processes: ProcessRuntime,
  engines: ReadonlyMap<EngineName, SessionEngine> = new Map(),
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
