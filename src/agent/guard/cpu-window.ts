import type { CpuTimes } from "../../base/host-load.ts";

/** Readings of the machine's processor time, oldest first: one long enough ago, and all after it. Pure. */
export type CpuWindow = readonly CpuTimes[];

/** At one reading every two seconds: ten seconds. */
const READINGS = 6;

export function addReading(window: CpuWindow, reading: CpuTimes | undefined): CpuWindow {
  if (reading === undefined) return [];
  const last = window.at(-1);
  // Fewer ticks than before: a container was moved, or a processor went away. What was read before tells nothing.
  if (last !== undefined && reading.totalTicks < last.totalTicks) return [reading];
  return [...window, reading].slice(-READINGS);
}

/** Of all processors together, over the window; undefined until there are two readings. */
export function cpuPercentOf(window: CpuWindow): number | undefined {
  const [first] = window;
  const last = window.at(-1);
  if (first === undefined || last === undefined || last.totalTicks <= first.totalTicks) return undefined;
  const share = (last.busyTicks - first.busyTicks) / (last.totalTicks - first.totalTicks);
  return Math.min(100, Math.max(0, share * 100));
}
