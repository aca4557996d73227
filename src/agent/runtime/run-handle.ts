import type { ProcessIdentity } from "../../base/process-identity.ts";
import type { SessionPlatformName } from "../../contract/session-spec.ts";
import type { SessionWorkload } from "../../contract/workload.ts";
import type { Finding } from "../health/finding.ts";
import type { EngineOutput } from "./engine-output.ts";

/** What runs for this box, whatever carries it, and how it is stopped. */

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

export interface ProcessStat {
  /** `R S D T t Z X I`, as the kernel prints it. */
  readonly state: string;
  /** User and system time, clock ticks. */
  readonly cpuTicks: number;
  readonly rssBytes: number;
}

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
  /** What its platform last told of how it does. Absent: its ports are asked by connecting. */
  told?(): RunReport;
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
  /** The address is none of this box's. */
  readonly isElsewhere?: boolean;
}

export interface RunReport {
  readonly isReady: boolean;
  readonly finding: Finding | undefined;
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
