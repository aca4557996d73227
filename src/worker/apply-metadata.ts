import { futimesSync } from "node:fs";
import type { Preserved } from "../contract/transfer/sync-request.ts";
import type { TransferEntry } from "../contract/transfer/transfer-entry.ts";
import { setMode, setOwner } from "./jail.ts";

type Facts = Pick<TransferEntry, "mode" | "mtime_ns" | "uid" | "gid">;

/** Bits that make a program run as its owner: they are given only together with that owner. */
const SET_ID = 0o6000;

/** To what is held open, so that nothing can be put in its place meanwhile. Twice is as good as once. */
export function applyMetadata(fd: number, entry: Facts, preserve: readonly Preserved[]): void {
  const keepsOwner = preserve.includes("owner");
  // Before the mode: a change of owner clears bits of it.
  if (keepsOwner) setOwner(fd, entry.uid, entry.gid);
  setMode(fd, modeOf(entry.mode, preserve));
  if (preserve.includes("times")) {
    const time = timeOf(entry.mtime_ns);
    futimesSync(fd, time, time);
  }
}

function modeOf(mode: number, preserve: readonly Preserved[]): number {
  if (!preserve.includes("mode")) return (mode & 0o111) !== 0 ? 0o755 : 0o644;
  return preserve.includes("owner") ? mode : mode & ~SET_ID;
}

/**
 * Node hands times to the system as doubles of seconds, good for microseconds: in the middle of one, so that it is that microsecond
 * that comes out. It takes numbers below zero for the present, but not dates.
 */
export function timeOf(nanoseconds: string): number | Date {
  const microseconds = Number(microsecondsOf(nanoseconds));
  return microseconds < 0 ? new Date(Math.floor(microseconds / 1000)) : (microseconds + 0.5) / 1e6;
}

export function microsecondsOf(nanoseconds: string): bigint {
  const value = BigInt(nanoseconds);
  return value >= 0n ? value / 1000n : (value - 999n) / 1000n;
}
