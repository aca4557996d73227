import { messageOf } from "../../base/errors.ts";
import { createLapRunner } from "../../base/lap-runner.ts";
import type { Log } from "../../base/log.ts";
import type { AgentStatus } from "../../contract/local-status.ts";
import type { Occurrence } from "../../contract/report.ts";
import type { Workload } from "../../contract/workload.ts";
import type { PathLookup } from "../workload/stream/file-root.ts";
import { recordingsOf, withoutRoots, writesFiles } from "./file-outputs.ts";
import type { RecordingFiles } from "./recording-files.ts";
import { excessBytes, holdOfRoot, planDeletions, type RecordingLimits, type RootUse } from "./recording-hold.ts";

/** Keeps recordings within what the disks have for them. */
export interface DiskWatch {
  /** Looks at every file root that streams write to. Resolves when it is known what may be recorded. */
  look(workloads: ReadonlyMap<string, Workload>): Promise<void>;
  /** Where nothing may be recorded, and why. */
  paused(): ReadonlyMap<string, string>;
  /** The workload as it may run now: without outputs that are paused. Undefined: nothing of it is left. */
  effective(workload: Workload): Workload | undefined;
  status(): NonNullable<AgentStatus["guard"]>["roots"];
}

export interface DiskWatchOptions extends RecordingLimits {
  readonly fileRoots: readonly string[];
  readonly deleteRecordings: boolean;
}

export interface DiskWatchDeps {
  readonly log: Log;
  readonly disk: PathLookup;
  readonly files: RecordingFiles;
  readonly onOccurrence: (occurrence: Omit<Occurrence, "at">) => void;
  /** What may be recorded has changed. */
  readonly onChange: () => void;
}

export function createDiskWatch(options: DiskWatchOptions, deps: DiskWatchDeps): DiskWatch {
  const { fileRoots: roots } = options;
  const { disk, log } = deps;
  let paused: ReadonlyMap<string, string> = new Map();
  let uses: readonly RootUse[] = [];
  let trimmed = new WeakMap<Workload, { readonly workload: Workload | undefined }>();
  let latest: ReadonlyMap<string, Workload> = new Map();

  const filesBelow = (root: string, workloads: readonly Workload[]) => {
    const recordings = workloads.flatMap((workload) => recordingsOf(workload, roots, disk));
    return deps.files.find(recordings.flatMap((one) => (one.root === root ? [one.recording] : [])));
  };

  const useOf = async (root: string, workloads: readonly Workload[]): Promise<RootUse> => {
    const isCounted = options.recordingsBytes !== undefined || options.deleteRecordings;
    const freeBytes = await deps.files.freeBytes(root);
    const files = isCounted ? await filesBelow(root, workloads) : undefined;
    const recordedBytes = files?.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const use = { root, freeBytes, recordedBytes };
    const excess = options.deleteRecordings && files !== undefined ? excessBytes(use, options) : 0;
    if (excess === 0 || files === undefined) return use;
    let removedBytes = 0;
    let removed = 0;
    for (const { path, sizeBytes } of planDeletions(files, excess)) {
      try {
        await deps.files.remove(path);
        removedBytes += sizeBytes;
        removed += 1;
      } catch (thrown) {
        log.warn(`Cannot delete an old recording: ${messageOf(thrown)}`);
        break;
      }
    }
    if (removed > 0) {
      const text = `Deleted the ${removed} oldest recordings below ${root}, ${Math.round(removedBytes / 2 ** 20)} MiB`;
      log.info(text);
      deps.onOccurrence({ kind: "recordings-deleted", text });
    }
    return {
      root,
      freeBytes: freeBytes === undefined ? undefined : freeBytes + removedBytes,
      recordedBytes: (recordedBytes ?? 0) - removedBytes,
    };
  };

  const say = (now: ReadonlyMap<string, string>) => {
    for (const [root, reason] of now) {
      if (paused.has(root)) continue;
      log.error(`Recording is paused: ${reason}. Outputs to the network go on`);
      deps.onOccurrence({ kind: "recording-paused", text: reason });
    }
    for (const root of paused.keys()) {
      if (now.has(root)) continue;
      log.info(`Recording goes on below ${root}`);
      deps.onOccurrence({ kind: "recording-resumed", text: root });
    }
  };

  // A disk that hangs holds up one look, and at most one more waits behind it.
  const looks = createLapRunner(async () => {
    const workloads = [...latest.values()].filter(writesFiles);
    if (workloads.length === 0 && paused.size === 0) {
      uses = [];
      return;
    }
    const found: RootUse[] = [];
    for (const root of roots) found.push(await useOf(root, workloads));
    uses = found;
    const now = new Map<string, string>();
    for (const use of found) {
      const reason = holdOfRoot(use, paused.has(use.root), options);
      if (reason !== undefined) now.set(use.root, reason);
    }
    const isSame = now.size === paused.size && [...now.keys()].every((root) => paused.has(root));
    say(now);
    paused = now;
    if (isSame) return;
    trimmed = new WeakMap();
    deps.onChange();
  });

  return {
    look: (workloads) => {
      latest = workloads;
      return looks.wake();
    },
    paused: () => paused,
    effective: (workload) => {
      if (paused.size === 0) return workload;
      const known = trimmed.get(workload);
      if (known !== undefined) return known.workload;
      const left = withoutRoots(workload, [...paused.keys()], { roots, disk });
      trimmed.set(workload, { workload: left });
      return left;
    },
    status: () =>
      uses.map(({ root, freeBytes, recordedBytes }) => ({
        root,
        ...(freeBytes === undefined ? {} : { freeBytes }),
        ...(recordedBytes === undefined ? {} : { recordedBytes }),
        ...(paused.has(root) ? { paused: paused.get(root) ?? "" } : {}),
      })),
  };
}
