import { rmSync } from "node:fs";
import { join } from "node:path";
import type { WorkloadFiles } from "./process-runtime.ts";

export interface WorkloadFilesOptions {
  readonly stateDir: string;
  readonly logDir: string;
  /** For files that change all the time: on tmpfs where there is one. */
  readonly runDir: string;
}

/** Where each workload's files are. Ids are safe as file names: `contract/identifier.ts`. */
export function filesOfWorkload(options: WorkloadFilesOptions, workloadId: string): WorkloadFiles {
  const directory = join(options.stateDir, "workloads", workloadId);
  return {
    directory,
    progressPath: join(options.runDir, `${workloadId}.progress`),
    rawOutputPath: join(options.runDir, `${workloadId}.output`),
    logPath: join(options.logDir, `${workloadId}.log`),
    previewPath: join(directory, "preview.jpg"),
  };
}

/** Removes all but the log. What cannot be removed stays: it is small and the next launch uses it again. */
export function discardWorkloadFiles(files: WorkloadFiles): void {
  for (const path of [files.progressPath, files.rawOutputPath, files.directory]) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // A read-only disk keeps it.
    }
  }
}
