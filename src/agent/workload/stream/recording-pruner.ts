import type { Clock } from "../../../base/clock.ts";
import { messageOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { Service } from "../../../base/service.ts";
import { parseRecordingPath, recordingNameMatcher } from "../../../contract/recording-name.ts";
import type { StreamSpec } from "../../../contract/stream-spec.ts";
import { parseStreamUrl } from "../../../contract/stream-url.ts";
import type { StreamWorkload, Workload } from "../../../contract/workload.ts";
import { outputKindOf } from "./output-kind.ts";
import type { FoundFile, RecordingDisk } from "./stream-disk.ts";

/** The files to remove so that the `keep` newest finished ones stay, beside the newest of all, which may still grow. */
export function surplusFiles(files: readonly FoundFile[], keep: number): string[] {
  const newestFirst = [...files].sort(
    (left, right) => right.modifiedMs - left.modifiedMs || (left.path < right.path ? 1 : -1),
  );
  return newestFirst.slice(keep + 1).map(({ path }) => path);
}

/** Enforces `keepSegments` of every recording of a spec. Only names that the recording's own pattern makes are touched. */
export function pruneRecordings(spec: StreamSpec, disk: RecordingDisk): number {
  let removed = 0;
  for (const { url, keepSegments } of spec.outputs) {
    const parsed = parseStreamUrl(url);
    if (keepSegments === undefined || !parsed.ok || outputKindOf(parsed.url) !== "recording") continue;
    const path = parseRecordingPath(parsed.url.path);
    if (!path.ok) continue;
    const { directory, pattern } = path.recording;
    for (const file of surplusFiles(disk.findFiles(directory, recordingNameMatcher(pattern)), keepSegments)) {
      disk.remove(file);
      removed++;
    }
  }
  return removed;
}

export interface RecordingPrunerDeps {
  /** The workloads that run on this box now, admitted by its policy. */
  readonly workloads: () => readonly Workload[];
  readonly disk: RecordingDisk;
  readonly clock: Clock;
  readonly log: Log;
}

/** Keeps recordings within their number while they run; each start prunes too. */
export function createRecordingPruner(options: { readonly intervalMs: number }, deps: RecordingPrunerDeps): Service {
  const prune = (workload: StreamWorkload) => {
    try {
      pruneRecordings(workload.spec, deps.disk);
    } catch (thrown) {
      deps.log.warn(`Cannot remove old recordings of ${workload.id}: ${messageOf(thrown)}`);
    }
  };
  return {
    name: "recording pruner",
    run: async (signal) => {
      while (!signal.aborted) {
        for (const workload of deps.workloads()) if (workload.kind === "stream") prune(workload);
        await deps.clock.delay(options.intervalMs, signal).catch((reason: unknown) => {
          if (!signal.aborted) throw reason;
        });
      }
    },
  };
}
