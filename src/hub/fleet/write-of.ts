import type { Clock } from "../../base/clock.ts";
import type { Call } from "../http/route.ts";
import type { NewEvent } from "../store/event-log.ts";
import type { WriteContext } from "../store/write-context.ts";

/** What is written together with a change that a call asks for: who did it, from where, and what people who watch are told. */
export function writeOf(
  { caller, request, address }: Pick<Call, "caller" | "request" | "address">,
  clock: Clock,
  what: {
    /** `box.drain`, `workload.put` … */
    readonly action: string;
    /** `box/north-1`, `rollout/doors` … */
    readonly subject: string;
    readonly detail?: string | undefined;
    readonly event?: NewEvent | undefined;
  },
): WriteContext {
  const { action, subject, detail, event } = what;
  return {
    nowMs: clock.wallMs(),
    request,
    audit: { actor: actorOf(caller), action, subject, outcome: "done", address, detail },
    event,
  };
}

export function actorOf(caller: Call["caller"]): string {
  if (caller.kind === "operator") return `operator:${caller.tokenId}`;
  return caller.kind === "box" ? `box:${caller.boxId}` : "anybody";
}

export function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}
