import { openCgroupBranch, readCgroupPlace } from "../../base/cgroup-branch.ts";
import { createHostLoad } from "../../base/host-load.ts";
import { systemProcessPriority } from "../../base/process-priority.ts";
import type { AgentContext, Notices } from "../agent-context.ts";
import { systemStreamDisk } from "../workload/stream/stream-disk.ts";
import { createDiskWatch } from "./disk-watch.ts";
import { createGuard, type Guard, type GuardDeps } from "./guard.ts";
import { systemRecordingFiles } from "./recording-files.ts";
import { createWorkloadCgroups, NO_CGROUPS, type WorkloadCgroups } from "./workload-cgroups.ts";

export interface GuardParts extends Pick<GuardDeps, "expected" | "units" | "usageOf" | "isAtRest" | "wake"> {
  readonly notices: Notices;
}

/** The resource guard of this machine. */
export function openGuard(context: AgentContext, { notices, ...parts }: GuardParts): Guard {
  const { clock, logFor, options } = context;
  const log = logFor("HEALTH");
  const onOccurrence: Notices["occurred"] = (occurrence) => {
    notices.occurred(occurrence);
    notices.changed();
  };
  const disks = createDiskWatch(
    { ...options.guard, fileRoots: options.policy.fileRoots },
    { log, disk: systemStreamDisk, files: systemRecordingFiles, onOccurrence, onChange: parts.wake },
  );
  return createGuard(options.guard, {
    clock,
    log,
    host: createHostLoad(),
    priority: systemProcessPriority,
    cgroups: openCgroups(context),
    disks,
    ...parts,
    onOccurrence,
    progress: context.progress.loop("guard"),
  });
}

function openCgroups({ options, logFor }: AgentContext): WorkloadCgroups {
  const log = logFor("INIT");
  if (options.guard.cgroups === "off") return NO_CGROUPS;
  const found = openCgroupBranch(readCgroupPlace());
  if ("branch" in found) {
    log.info(`Streams are held to their limits by cgroups below ${found.branch.directory}`);
    return createWorkloadCgroups(found.branch, { log });
  }
  log.debug(`Limits of streams are measured: ${found.problem}`);
  return NO_CGROUPS;
}
