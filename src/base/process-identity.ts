/**
 * What makes a PID one certain process: a PID alone is reused, start ticks alone repeat after a reboot.
 * `startTicks` is field 22 of `/proc/PID/stat` (clock ticks after boot).
 */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
}
