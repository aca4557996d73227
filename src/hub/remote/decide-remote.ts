import type { RouterChange } from "../../contract/fleet/router.ts";
import { isDetached, type Remote } from "./remote-record.ts";

/** What becomes of a session. */
export type RemoteDecision =
  /** `isBoxs`: the box itself has said so, and need not be told. */
  | { readonly kind: "end"; readonly reason: string; readonly isBoxs?: true }
  | { readonly kind: "break"; readonly reason: string };

/** Both ends have this long to meet. */
export const RENDEZVOUS_SECONDS = 60;
/** The router's own limits come first: the hub steps in where it is away. */
const MARGIN_MS = 10_000;

type Parted = Extract<RouterChange, { readonly what: "parted" }>;

/** Pure. What follows from what a router tells of a pair; `undefined`: nothing. */
export function decideParted(remote: Remote, change: Parted): RemoteDecision | undefined {
  const { message, by } = change;
  switch (change.reason) {
    case "replaced":
      return undefined;
    case "peer-done":
      // Either end's close may be heard first. How the command ends is told by the box itself.
      if (isDetached(remote)) return { kind: "break", reason: "its operator has let go of it, and it goes on" };
      return {
        kind: "end",
        reason: by === undefined ? message : `the ${by === "box" ? "box" : "operator"} has closed it`,
      };
    case "rendezvous-timeout":
      // What was together before may come together again.
      return remote.attempt === 1 ? { kind: "end", reason: message } : { kind: "break", reason: message };
    case "peer-lost":
      // Who lets go of a command closes and leaves: a router may see the second first.
      if (isDetached(remote) && by === "operator")
        return { kind: "break", reason: "its operator is gone, and it goes on" };
      return { kind: "break", reason: by === undefined ? message : `the connection of the ${by} is lost` };
    case "draining":
      return { kind: "break", reason: message };
    case "idle":
    case "max-age":
    case "terminated":
    case "protocol":
      return { kind: "end", reason: message };
  }
}

export interface RemoteFacts {
  readonly nowMs: number;
  /** Why its operator may no longer; absent: they may. */
  readonly operatorProblem: string | undefined;
  readonly boxProblem: string | undefined;
  readonly isRouterLive: boolean;
  /** What the box says of the end of its command, which went on alone. */
  readonly endOnBox?: string | undefined;
}

/** Pure. What time and rights make of a session. */
export function decideRemote(remote: Remote, facts: RemoteFacts): RemoteDecision | undefined {
  const { nowMs, operatorProblem, boxProblem, isRouterLive } = facts;
  const { limits, state, createdMs, sinceMs, askedMs } = remote;
  if (operatorProblem !== undefined) return { kind: "end", reason: operatorProblem };
  if (boxProblem !== undefined) return { kind: "end", reason: boxProblem };
  // While its operator is there, the operator hears it from the box.
  if (facts.endOnBox !== undefined && state === "broken" && isDetached(remote)) {
    return { kind: "end", reason: facts.endOnBox, isBoxs: true };
  }
  if (nowMs - createdMs > limits.maxSeconds * 1000 + (state === "open" ? MARGIN_MS : 0)) {
    return { kind: "end", reason: `it has lasted as long as it may (${limits.maxSeconds} s)` };
  }
  if (state === "waiting" && nowMs - askedMs > RENDEZVOUS_SECONDS * 1000 + MARGIN_MS) {
    const reason = `its ends did not meet within ${RENDEZVOUS_SECONDS} s`;
    return remote.attempt === 1 ? { kind: "end", reason } : { kind: "break", reason };
  }
  if (state === "broken" && !isDetached(remote) && nowMs - sinceMs > limits.resumeSeconds * 1000) {
    return { kind: "end", reason: `${remote.reason}, and it was not resumed within ${limits.resumeSeconds} s` };
  }
  if (state === "open" && !isRouterLive) return { kind: "break", reason: `its router ${remote.router} is gone` };
  return undefined;
}
