import type { ProcessIdentity } from "../../../base/process-identity.ts";
import type { ProcessMark, RunHandle } from "../run-handle.ts";

/** What to run. Arguments are an array; no shell ever sees them. */
export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  /** Set beside the small fixed environment; nothing of the agent's own environment is passed on. */
  readonly env: Readonly<Record<string, string>>;
  /** Absent: the agent's own working directory. */
  readonly cwd?: string;
}

export interface FoundProcess {
  readonly identity: ProcessIdentity;
  readonly mark: ProcessMark;
  /** False for what a launch left behind when its first process ended: to be stopped, never kept as the workload. */
  readonly isLeader: boolean;
}

/** Files of one workload. The agent and its successor find them by these paths; the child holds only descriptors. */
export interface WorkloadFiles {
  /** Own directory, mode 0700, in the state directory. */
  readonly directory: string;
  /**
   * The child's standard output, opened for appending: FFmpeg's `-progress pipe:1`. On tmpfs where there is one. A session's goes beside
   * `rawOutputPath` instead: `rawStdoutPath`.
   */
  readonly progressPath: string;
  /** The child's standard error as it comes, secrets included: mode 0600, on tmpfs where there is one, drained by the agent. */
  readonly rawOutputPath: string;
  /** The redacted, rotated copy that people read: `logs/<id>.log`. */
  readonly logPath: string;
  readonly previewPath: string;
}

/**
 * A process that was proved to be ours. Its label is `pid 4242`; its `stat` is read from a descriptor kept on `/proc/PID/stat`, which
 * belongs to the process and not to its number; its identity is checked before each signal. One that was adopted is not our child:
 * its exit has no status.
 */
export interface ProcessHandle extends RunHandle {
  readonly identity: ProcessIdentity;
}

/** The handle of a process of this box, where it is one. */
export function processHandle(handle: RunHandle | undefined): ProcessHandle | undefined {
  return handle !== undefined && isProcess(handle) ? handle : undefined;
}

function isProcess(handle: RunHandle): handle is ProcessHandle {
  return handle.identity !== undefined;
}

export interface ProcessRuntime {
  /** Launches in its own session with no descriptor of the agent's. Rejects with `exhausted`, `not-found`, `storage`,
   * `refused` or `internal`. */
  start(mark: ProcessMark, launch: Launch, files: WorkloadFiles): Promise<ProcessHandle>;
  /** A handle on a running process, or undefined when identity or mark do not agree with what the kernel shows. */
  adopt(identity: ProcessIdentity, mark: ProcessMark): ProcessHandle | undefined;
  /** For each launch that has live processes with a mark of this box and this state directory, the first of them. `except`: numbers that need no look. */
  sweep(except?: ReadonlySet<number>): Promise<readonly FoundProcess[]>;
}
