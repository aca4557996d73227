/**
 * Why a workload does not do its work as it should, and who is to blame:
 * - `connecting-timeout`: no media since the start;
 * - `source-stalled`: the input sends nothing;
 * - `encoder-slow`: media is made slower than real time, for want of CPU;
 * - `network-slow`: the way to the peer takes less than is sent;
 * - `peer-stalled`: the receiver answers and takes nothing (its window is shut);
 * - `network-lost`: what is sent is not answered at all (a black hole);
 * - `not-listening`: nothing accepts where its process should listen;
 * - `image-missing`: its platform could not fetch its image yet, and tries again;
 * - `crash-loop`: it ends again and again, and its platform starts it again;
 * - `oom-killed`: it was ended at its memory limit, and its platform has started it again or will;
 * - `cannot-run`: its platform cannot make its container;
 * - `unschedulable`: its platform finds no machine with room for it;
 * - `unproven`: a tunnel serves, and the last proof of it failed;
 * - `over-memory`, `over-cpu`: it used more than its limit for some time, where no cgroup holds it;
 * - `disk-blocked`: the kernel waits for a disk or a device;
 * - `stopped`: a signal has stopped the process;
 * - `unkillable`: it survived SIGKILL;
 * - `exited`: it has ended; the class of the last exit says why.
 */
export const HEALTH_CAUSES = [
  "connecting-timeout",
  "source-stalled",
  "encoder-slow",
  "network-slow",
  "peer-stalled",
  "network-lost",
  "not-listening",
  "image-missing",
  "crash-loop",
  "oom-killed",
  "cannot-run",
  "unschedulable",
  "unproven",
  "over-memory",
  "over-cpu",
  "disk-blocked",
  "stopped",
  "unkillable",
  "exited",
] as const;
export type HealthCause = (typeof HEALTH_CAUSES)[number];
