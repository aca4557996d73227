import type { Blocked } from "./allocate.ts";

/** Why a workload waits, in words: what it needs, and who has it. */
export function blockedText(id: string, blocked: Blocked): string {
  if ("text" in blocked) return blocked.text;
  const { claim, holder, isHeld } = blocked;
  const what = whatOf(blocked);
  if (holder === id) return `an earlier process of ${id} itself still has the ${what}`;
  if (claim.kind === "publishing point" || claim.kind === "file") {
    return `conflict: ${holder} and ${id} both write to the ${what}; ${holder} was first and keeps it`;
  }
  return isHeld
    ? `the ${what} serves one at a time, and ${holder} has it`
    : `the ${what} serves one at a time, and ${holder} comes first`;
}

/** `camera rtsp://cam/1`, `tunnel t-1` */
export function whatOf(blocked: Blocked): string {
  return "text" in blocked ? blocked.what : `${blocked.claim.kind} ${blocked.claim.label}`;
}
