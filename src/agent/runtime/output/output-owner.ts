import type { EngineOutput } from "../engine-output.ts";

/** Whose output it is. Absent: of a workload called as it is named here, with one output. */
export interface OutputOwner {
  readonly workloadId: string;
  readonly kind: string;
  /** Absent: it is in the workload's files. */
  readonly output?: EngineOutput | undefined;
}

/** A second destination of workload output. It never throws, and never holds anybody up. */
export interface OutputJournal {
  write(workloadId: string, lines: readonly string[]): void;
  /** Nothing more comes of it, at least for a while. */
  release(workloadId: string): void;
}
