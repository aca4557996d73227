import { futimesSync } from "node:fs";
import type { Preserved } from "../../contract/transfer/sync-request.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { type Place, setMode, setOwner } from "./jail.ts";
import { writeXattrs, type XattrDeps, xattrScope } from "./xattrs.ts";

type Facts = Pick<TransferEntry, "mode" | "mtime_ns" | "uid" | "gid">;

/** Bits that make a program run as its owner: they are given only together with that owner. */
const SET_ID = 0o6000;

/**
 * To what is held open, so that nothing can be put in its place meanwhile. Twice is as good as once. `madeWith`: the mode that it was made with
 * just now, where that is known.
 */
export function applyMetadata(fd: number, entry: Facts, preserve: readonly Preserved[], madeWith?: number): void {
  // Before the mode: a change of owner clears bits of it.
  applyOwner(fd, entry, preserve);
  applyModeAndTimes(fd, entry, preserve, madeWith);
}

/** What a file is made with that has its last mode at once. Who cannot be the owner yet must not be given more than the owner has. */
export function firstMode({ mode }: Pick<TransferEntry, "mode">, preserve: readonly Preserved[]): number {
  const last = modeOf(mode, preserve);
  const isPlain = (last & ~0o777) === 0 && (last & 0o600) === 0o600;
  return isPlain && !preserve.includes("owner") ? last : 0o600;
}

/**
 * The same with extended attributes, where they are asked for: after the owner, whose change takes some away, and before the mode, which may
 * forbid them.
 */
export async function applyAllMetadata(
  fd: number,
  entry: TransferEntry,
  preserve: readonly Preserved[],
  deps: XattrDeps & { readonly scratch: Place },
): Promise<void> {
  const scope = xattrScope(preserve);
  if (scope === undefined) return applyMetadata(fd, entry, preserve);
  applyOwner(fd, entry, preserve);
  // What is there already may be closed to writing.
  if (entry.type === "file") setMode(fd, 0o600);
  await writeXattrs([{ fd, xattrs: entry.xattrs ?? {} }], { scope, scratch: deps.scratch }, deps);
  applyModeAndTimes(fd, entry, preserve);
}

function applyOwner(fd: number, { uid, gid }: Facts, preserve: readonly Preserved[]): void {
  if (preserve.includes("owner")) setOwner(fd, uid, gid);
}

function applyModeAndTimes(fd: number, entry: Facts, preserve: readonly Preserved[], madeWith?: number): void {
  const mode = modeOf(entry.mode, preserve);
  if (mode !== madeWith) setMode(fd, mode);
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
