import type { ProcessIdentity } from "../../../base/process-identity.ts";

/** What to run. Arguments are an array; no shell ever sees them. */
export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  /** Set beside the small fixed environment; nothing of the agent's own environment is passed on. */
  readonly env: Readonly<Record<string, string>>;
  /** Absent: the agent's own working directory. */
  readonly cwd?: string;
}

/**
 * What every child carries in its environment, so that `/proc` alone can tell whose it is:
 * `SLUICE_WORKLOAD=<box>/<id>/<generation>/<nonce>`, `SLUICE_SPEC=<kind>/<hash>`, `SLUICE_STATE_DIR=<directory>`, and
 * `SLUICE_LANE=1` in the second lane.
 */
export interface ProcessMark {
  readonly boxId: string;
  readonly workloadId: string;
  readonly kind: string;
  readonly generation: number;
  /** 128 random bits, hexadecimal. New for each launch. */
  readonly nonce: string;
  readonly specHash: string;
  /** Absent: the first. */
  readonly lane?: Lane;
}

/**
 * Which of a workload's two sets of files a process uses. While a changed workload is started beside its old self, the
 * two must not write into the same ones.
 */
export type Lane = 0 | 1;

export interface FoundProcess {
  readonly identity: ProcessIdentity;
  readonly mark: ProcessMark;
  /** False for what a launch left behind when its first process ended: to be stopped, never kept as the workload. */
  readonly isLeader: boolean;
}

export interface ProcessExit {
  /** Both null when the exit of an adopted process was seen but its status could not be had. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly isAdopted: boolean;
  readonly atMonotonicMs: number;
  /** What its platform says beside the status. */
  readonly reason?: ExitReason;
}

/** `oom-killed`: by the kernel at its memory limit; `removed`: somebody has taken it away; `dead`: its platform could not end it. */
export type ExitReason = "oom-killed" | "removed" | "dead";

/** One rung: send `signal`, wait `graceMs` for the end. `toGroup` signals the whole process group. */
export interface StopRung {
  readonly signal: NodeJS.Signals;
  readonly graceMs: number;
  readonly toGroup: boolean;
}
export type StopLadder = readonly StopRung[];

export type StopOutcome = "gone" | "unkillable";

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

/** A process that was proved to be ours. Nothing is signalled except through a handle. */
export interface ProcessHandle {
  /** `pid 4242`. */
  readonly label: string;
  readonly identity: ProcessIdentity;
  readonly mark: ProcessMark;
  /** Not our child: found running, its exit status cannot be collected. */
  readonly isAdopted: boolean;
  /** Settles once, when the process is gone. Never rejects. */
  readonly exited: Promise<ProcessExit>;
  /** From a descriptor kept on `/proc/PID/stat`, which belongs to the process and not to its number. */
  stat(): ProcessStat | undefined;
  /** Sends one signal to the process alone, its identity checked; false when it is gone. */
  signal(signal: NodeJS.Signals): boolean;
  /** Climbs the ladder until the process is proved gone. The identity is checked before each signal. */
  stop(ladder: StopLadder): Promise<StopOutcome>;
}

export interface ProcessStat {
  /** `R S D T t Z X I`, as the kernel prints it. */
  readonly state: string;
  /** User and system time, clock ticks. */
  readonly cpuTicks: number;
  readonly rssBytes: number;
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
