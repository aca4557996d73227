import type { CgroupBranch } from "../../base/cgroup-branch.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { ProcessMark } from "../runtime/run-handle.ts";
import { cpuWeightOf, type Limits } from "./limits.ts";

/** The part of a mark that names a launch: two generations of a workload may run at one time. */
export type LaunchName = Pick<ProcessMark, "workloadId" | "generation">;

/** One cgroup for each launch, found again by the next agent by its name. */
export interface WorkloadCgroups {
  readonly kind: "cgroup" | "measuring";
  /** Puts a process into its group and sets what it may use; writes only what has changed. */
  hold(launch: LaunchName, pid: number, share: Share): void;
  /** The kernel keeps this launch within its limits. */
  isHeld(launch: LaunchName): boolean;
  /** How many processes of this launch the kernel has killed because the group was full. */
  oomKills(launch: LaunchName): number;
  /** Everything in its group stands still, or goes on. False: it has no group of its own. */
  freeze(launch: LaunchName, isWanted: boolean): boolean;
  /** Undefined: it has no group of its own. */
  isFrozen(launch: LaunchName): boolean | undefined;
  /** Takes away the groups of all launches but these, where nothing runs in them any more. */
  removeOthers(launches: readonly LaunchName[]): void;
}

export interface Share {
  readonly limits: Limits;
  readonly priority: number;
}

const PREFIX = "workload-";
const PERIOD_US = 100_000;

/** No cgroups on this box: limits are measured. */
export const NO_CGROUPS: WorkloadCgroups = {
  kind: "measuring",
  hold: () => undefined,
  isHeld: () => false,
  oomKills: () => 0,
  freeze: () => false,
  isFrozen: () => undefined,
  removeOthers: () => undefined,
};

export function createWorkloadCgroups(branch: CgroupBranch, deps: { readonly log: Log }): WorkloadCgroups {
  const applied = new Map<string, Readonly<Record<string, string>>>();
  let failure: string | undefined;

  const sayFailure = (text: string) => {
    if (text !== failure) deps.log.warn(`A cgroup cannot be used, so that limits are measured: ${text}`);
    failure = text;
  };

  /** An earlier agent's group counts too, before this one has set anything there. */
  const isPopulated = (name: string) => branch.counter(name, "cgroup.events", "populated") === 1;

  return {
    kind: "cgroup",
    hold: (launch, pid, share) => {
      const name = groupOf(launch);
      const wanted = settingsOf(share);
      const before = applied.get(name);
      try {
        if (before === undefined) branch.make(name);
        for (const [file, value] of Object.entries(wanted)) {
          if (before?.[file] !== value) branch.write(name, file, value);
        }
        if (before === undefined) branch.move(name, pid);
        applied.set(name, wanted);
      } catch (thrown) {
        applied.delete(name);
        sayFailure(messageOf(thrown));
      }
    },
    isHeld: (launch) => applied.has(groupOf(launch)),
    oomKills: (launch) => branch.counter(groupOf(launch), "memory.events", "oom_kill") ?? 0,
    freeze: (launch, isWanted) => {
      const name = groupOf(launch);
      if (!isPopulated(name)) return false;
      try {
        branch.write(name, "cgroup.freeze", isWanted ? "1" : "0");
        return true;
      } catch (thrown) {
        sayFailure(messageOf(thrown));
        return false;
      }
    },
    isFrozen: (launch) => {
      const name = groupOf(launch);
      return isPopulated(name) ? branch.counter(name, "cgroup.events", "frozen") === 1 : undefined;
    },
    removeOthers: (launches) => {
      const kept = new Set(launches.map(groupOf));
      try {
        for (const name of branch.names()) {
          if (name.startsWith(PREFIX) && !kept.has(name) && branch.remove(name)) applied.delete(name);
        }
      } catch (thrown) {
        sayFailure(messageOf(thrown));
      }
    },
  };
}

/** What the kernel is told, by file. Pure. */
export function settingsOf({ limits, priority }: Share): Readonly<Record<string, string>> {
  const { memoryBytes, cpuCores } = limits;
  return {
    "memory.max": memoryBytes === undefined ? "max" : String(memoryBytes),
    // FFmpeg is one process with many threads: what is left of it after a kill is of no use.
    "memory.oom.group": "1",
    "cpu.max": `${cpuCores === undefined ? "max" : Math.max(1000, Math.round(cpuCores * PERIOD_US))} ${PERIOD_US}`,
    "cpu.weight": String(cpuWeightOf(priority)),
  };
}

function groupOf({ workloadId, generation }: LaunchName): string {
  return `${PREFIX}${workloadId}@${generation}`;
}
