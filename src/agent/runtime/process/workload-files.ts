import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Lane } from "../run-handle.ts";
import type { WorkloadFiles } from "./process-runtime.ts";

export interface WorkloadFilesOptions {
  readonly stateDir: string;
  readonly logDir: string;
  /** For files that change all the time: on tmpfs where there is one. */
  readonly runDir: string;
}

/** Names one of a workload's lanes; the tilde occurs in no id. */
export function laneName(workloadId: string, lane: Lane): string {
  return lane === 0 ? workloadId : `${workloadId}~${lane}`;
}

/** Where each workload's files are. Ids are safe as file names: `contract/identifier.ts`. */
export function filesOfWorkload(options: WorkloadFilesOptions, workloadId: string, lane: Lane = 0): WorkloadFiles {
  const directory = join(options.stateDir, "workloads", workloadId);
  return {
    directory,
    progressPath: join(options.runDir, `${laneName(workloadId, lane)}.progress`),
    rawOutputPath: join(options.runDir, `${laneName(workloadId, lane)}.output`),
    logPath: join(options.logDir, `${workloadId}.log`),
    previewPath: join(directory, lane === 0 ? "preview.jpg" : "preview~1.jpg"),
  };
}

/** What a workload of this kind writes to its standard output is text for people, and no counters. */
export function writesText(kind: string): boolean {
  return kind === "session";
}

/** The standard output of such a workload, as it comes: beside its standard error, and as private. */
export function rawStdoutPath(files: WorkloadFiles): string {
  return `${files.rawOutputPath}.stdout`;
}

/** How far both have been taken over into the log. */
export function rawCursorPath(files: WorkloadFiles): string {
  return `${files.rawOutputPath}.cursor`;
}

/** Removes all but the log. What cannot be removed stays: it is small and the next launch uses it again. */
export function discardWorkloadFiles(files: WorkloadFiles): void {
  discard([...rawPaths(files), files.directory]);
}

/** Removes what belongs to one lane alone. */
export function discardLaneFiles(files: WorkloadFiles): void {
  discard([...rawPaths(files), files.previewPath]);
}

function rawPaths(files: WorkloadFiles): readonly string[] {
  return [files.progressPath, files.rawOutputPath, rawStdoutPath(files), rawCursorPath(files)];
}

function discard(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // A read-only disk keeps it.
    }
  }
}
