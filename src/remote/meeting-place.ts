import { AppError } from "../base/errors.ts";

/** What an end is to the other where both may come to a lane beside their call. */
export interface MeetingRole {
  /** It speaks first, where it has decided; the other answers where it is spoken to. */
  readonly decides: boolean;
  /** Without a lane it speaks on the call by itself, so that nobody waits for it. Of one that does not decide. */
  readonly speaksWithoutLane: boolean;
}

export const ROLES = {
  operator: { decides: true, speaksWithoutLane: true },
  box: { decides: false, speaksWithoutLane: false },
  receiver: { decides: true, speaksWithoutLane: true },
  sender: { decides: false, speaksWithoutLane: true },
} as const satisfies Record<string, MeetingRole>;

/** What this end has seen of both ways. */
export interface MeetingState {
  readonly lane: "awaited" | "sealed" | "spoken" | "failed";
  readonly call: "silent" | "spoken" | "over";
  /** The other end has said on the call that it lives, as only one does that speaks on the lane. */
  readonly hasBeaten: boolean;
}

/** Where this end speaks from now on; `undefined`: that is not certain yet. */
export function choosePlace(
  { decides, speaksWithoutLane }: MeetingRole,
  { lane, call }: MeetingState,
): "lane" | "call" | undefined {
  if (call === "spoken" || call === "over") return "call";
  if (lane === "spoken" || (lane === "sealed" && decides)) return "lane";
  return lane === "failed" && speaksWithoutLane ? "call" : undefined;
}

/**
 * Whether the next sessions had better not wait for a lane, asked where this one has come to none. `problem`: why. That the other end did not
 * come says nothing of the lanes of one that does not decide; that it speaks on one over which nothing comes does.
 */
export function isLaneToBlame(
  { decides }: MeetingRole,
  { lane, call, hasBeaten }: MeetingState,
  problem: unknown,
): boolean {
  if (!decides && hasBeaten) return true;
  const isUnknown = problem instanceof AppError && problem.code === "unsupported";
  return lane === "failed" && call !== "over" && (decides || isUnknown);
}
