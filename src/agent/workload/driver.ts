import type { Secrets } from "../../base/redact.ts";
import type { Workload } from "../../contract/workload.ts";
import type { Finding } from "../health/finding.ts";
import type { WorkloadFiles } from "../runtime/process/process-runtime.ts";
import type { ProcessExit, StopLadder } from "../runtime/run-handle.ts";
import type { WorkloadLaunch } from "../runtime/workload-runtime.ts";

/** Why this box does not run a workload: the rule that says so and what it says. */
export interface Refusal {
  /** The configuration key of the rule (`policy.inputs`), or `spec` when the workload contradicts itself. */
  readonly rule: string;
  readonly message: string;
}

/** Something that a workload uses and that may not serve two at a time. */
export interface Claim {
  /** Equal for all who would get into each other's way. A hash: it may be stored and shown. */
  readonly key: string;
  readonly kind: ClaimKind;
  /** For people, secrets masked. */
  readonly label: string;
  /** False: it may serve several, until an exit shows that it does not (`ExitVerdict.taken`). */
  readonly isExclusive: boolean;
}

export type ClaimKind = "publishing point" | "camera" | "device" | "port" | "file" | "directory";

/**
 * What an exit means for the next start:
 * - `backoff`: try again, later and later;
 * - `long`: the same arguments will fail the same way: straight to the longest delay, with a loud state;
 * - `after`: the other side needs `afterMs` before it can accept us (a publisher it still remembers, a camera with one
 *   session). Nobody's fault: it is not counted;
 * - `never`: it has done what it was to do, and is not started again.
 */
export interface ExitVerdict {
  /** Short, stable, for metrics and people: `network`, `already-publishing`, `bad-arguments`, `end-of-input`, … */
  readonly class: string;
  readonly retry: "backoff" | "long" | "after" | "never";
  readonly afterMs?: number;
  /** The line of output that shows it. */
  readonly evidence?: string;
  /** The exit shows that what the workload claims of this kind serves one at a time, and serves another now. */
  readonly taken?: ClaimKind;
}

/** One reading of what a workload has produced since it started. Counters only grow; absent where unknown. */
export interface MediaSample {
  readonly frames: number | undefined;
  readonly outTimeUs: number | undefined;
  readonly totalBytes: number | undefined;
  readonly droppedFrames: number | undefined;
  /** The program said that it has finished. */
  readonly isEnded: boolean;
  /** When the program wrote this down, on the wall clock: it tells how old a reading is, and nothing else. */
  readonly writtenAtWallMs?: number | undefined;
}

/** Reads a workload's counters where it left them. `undefined` until there are any. */
export interface MediaProbe {
  sample(): MediaSample | undefined;
  close(): void;
}

/** Of a kind whose work is no media: what those who look after it have found out. */
export interface OwnHealth {
  /** It is proved to do its work, now. */
  readonly isWorking: boolean;
  readonly finding: Finding | undefined;
}

/** What a workload waits for that nobody can claim: it is not started until it is there, and that is no failure. */
export interface Awaiting {
  /** `tunnel t-1`, `certificate of its other end`. */
  readonly what: string;
  /** Who is to bring it: the id of a workload, where one is. */
  readonly holder: string;
  /** The whole sentence. It stays the same for as long as the wait does. */
  readonly text: string;
}

/** Everything the engine must know about one kind of workload. Pure but for `prepare` and `openProbe`. */
export interface WorkloadDriver<W extends Workload = Workload> {
  readonly kind: W["kind"];
  readonly stopLadder: StopLadder;
  /** How long a start may take until the first sign of work. */
  readonly startDeadlineMs: number;
  admit(workload: W): Refusal | undefined;
  /** Wall time from which on the box does not run it, whatever it is told. */
  endsAtWallMs?(workload: W): number | undefined;
  /** Equal for specs that mean the same, whatever the order of their keys; stable across releases. */
  specHash(workload: W): string;
  /** One line for people, secrets masked. */
  describe(workload: W): string;
  secrets(workload: W): Secrets;
  /** Everything it uses that might not serve two at a time. Follows from the spec alone. */
  claims(workload: W): readonly Claim[];
  /** A changed workload may run beside its old self for a while, as far as their claims allow it. */
  mayOverlap(workload: W): boolean;
  /** Everything that must be known or written before the launch. Rejects with an `AppError`. */
  prepare(workload: W, files: WorkloadFiles, signal: AbortSignal): Promise<WorkloadLaunch>;
  openProbe(files: WorkloadFiles): MediaProbe;
  /** Absent: its health is that of its media. */
  healthOf?(id: string): OwnHealth;
  /**
   * `output` holds the last lines of the workload's own output, secrets already taken out. `workload` is what ran, where
   * that is known: the same exit is an end for a file and a loss for a camera.
   */
  classifyExit(exit: ProcessExit, output: readonly string[], workload?: W): ExitVerdict;
}
