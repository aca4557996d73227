/**
 * What the kernel says of a process itself over time: stopped by a signal, asleep in the kernel for a disk, or busy. Pure.
 * Time is counted as the caller counts it.
 */
export interface ProcessHealth {
  readonly stoppedMs: number;
  /** In uninterruptible sleep without a tick of CPU: the kernel waits for a disk or a device. */
  readonly blockedMs: number;
  /** Share of one core over the last seconds, smoothed; undefined until two readings. */
  readonly cpuShare: number | undefined;
  readonly cpuTicks: number | undefined;
  /** The kernel function it sleeps in, where that can be read. */
  readonly waitsIn: string | undefined;
}

export interface ProcessReading {
  /** State letter of `/proc/PID/stat`. */
  readonly state: string;
  readonly cpuTicks: number;
  readonly waitsIn?: string | undefined;
}

export const NEW_PROCESS: ProcessHealth = {
  stoppedMs: 0,
  blockedMs: 0,
  cpuShare: undefined,
  cpuTicks: undefined,
  waitsIn: undefined,
};

/** USER_HZ: 100 on every Linux that Sluice runs on. */
const TICKS_A_SECOND = 100;
/** Weight of the newest reading. */
const SMOOTHING = 0.4;

export function observeProcess(
  health: ProcessHealth,
  { state, cpuTicks, waitsIn }: ProcessReading,
  { countedMs, elapsedMs }: { readonly countedMs: number; readonly elapsedMs: number },
): ProcessHealth {
  const usedTicks = health.cpuTicks === undefined ? undefined : cpuTicks - health.cpuTicks;
  const isStopped = state === "T" || state === "t";
  const isBlocked = state === "D" && (usedTicks ?? 0) === 0;
  const share =
    usedTicks === undefined || elapsedMs <= 0 ? undefined : (usedTicks / TICKS_A_SECOND) * (1000 / elapsedMs);
  const smooth =
    share === undefined || health.cpuShare === undefined
      ? share
      : health.cpuShare + SMOOTHING * (share - health.cpuShare);
  return {
    stoppedMs: isStopped ? health.stoppedMs + countedMs : 0,
    blockedMs: isBlocked ? health.blockedMs + countedMs : 0,
    cpuShare: smooth ?? health.cpuShare,
    cpuTicks,
    waitsIn,
  };
}
