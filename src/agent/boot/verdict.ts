import type { AgentStatus } from "../../contract/local-status.ts";

/** What the kernel tells of this boot. Absent where it cannot be read. */
export interface BootFacts {
  readonly bootId: string | undefined;
  /** Wall clock of the kernel's start; moves when the clock is set. */
  readonly bootTimeMs: number | undefined;
  readonly uptimeSeconds: number | undefined;
  readonly pidNamespace: string | undefined;
}

export interface BootVerdict {
  readonly verdict: AgentStatus["verdict"];
  /** One clause for the log. */
  readonly because: string;
}

/** The wall clock is set by seconds all the time; by more, only rarely and then by far more. */
const SAME_BOOT_TIME_MS = 10_000;

/**
 * Why the agent is starting. A boot id decides wherever there is one: neither how long the machine has been up nor what
 * its clock says may turn a crash of the agent into a reboot, or a reboot into a crash. Only two things overrule an equal
 * boot id: an uptime that ran backwards (boards without entropy repeat their id) and another PID namespace (a container
 * that was started again shares its host's id).
 */
export function decideVerdict(saved: BootFacts | undefined, today: BootFacts, thresholdMs: number): BootVerdict {
  if (saved === undefined) return { verdict: "first", because: "nothing is known of an earlier start" };
  const { uptimeSeconds } = today;
  if (saved.bootId !== undefined && today.bootId !== undefined && saved.bootId !== today.bootId) {
    return { verdict: "reboot", because: "the boot id has changed" };
  }
  if (uptimeSeconds !== undefined && saved.uptimeSeconds !== undefined && uptimeSeconds < saved.uptimeSeconds) {
    return { verdict: "reboot", because: "the uptime is less than at the last start" };
  }
  if (
    saved.pidNamespace !== undefined &&
    today.pidNamespace !== undefined &&
    saved.pidNamespace !== today.pidNamespace
  ) {
    return { verdict: "reboot", because: "the process namespace has changed" };
  }
  if (saved.bootId !== undefined && today.bootId !== undefined) {
    return { verdict: "restart", because: "the boot id is the same" };
  }
  return withoutBootId(saved, today, thresholdMs);
}

function withoutBootId(saved: BootFacts, today: BootFacts, thresholdMs: number): BootVerdict {
  if (saved.bootTimeMs !== undefined && today.bootTimeMs !== undefined) {
    if (Math.abs(saved.bootTimeMs - today.bootTimeMs) <= SAME_BOOT_TIME_MS) {
      return { verdict: "restart", because: "there is no boot id, and the boot time is the same" };
    }
  }
  if (today.uptimeSeconds === undefined)
    return { verdict: "restart", because: "the kernel tells nothing of this boot" };
  return today.uptimeSeconds * 1000 < thresholdMs
    ? {
        verdict: "reboot",
        because: `there is no boot id, and the machine has been up for less than ${thresholdMs / 1000} s`,
      }
    : {
        verdict: "restart",
        because: `there is no boot id, and the machine has been up for ${thresholdMs / 1000} s or more`,
      };
}
