import type { AlertState } from "../store/alerts.ts";
import type { ActiveCondition } from "./alert-condition.ts";

/**
 * Where an alert goes from where it is. It fires after its condition has held for a while, and ends after it has been over for a
 * while; what comes and goes in between is told to nobody. Pure.
 */
export type AlertStep =
  | { readonly kind: "stay" }
  | { readonly kind: "drop" }
  | {
      readonly kind: "move";
      readonly phase: AlertState["phase"];
      readonly text: string;
      readonly tell: "fired" | "ended" | undefined;
    };

export function nextAlertStep(
  held: Pick<AlertState, "phase" | "sinceMs" | "text"> | undefined,
  condition: Pick<ActiveCondition, "text" | "heldMs"> | undefined,
  at: { readonly nowMs: number; readonly forMs: number; readonly clearMs: number },
): AlertStep {
  const elapsedMs = held === undefined ? 0 : Math.max(0, at.nowMs - held.sinceMs);
  if (condition !== undefined) return stepWith(held, condition, { elapsedMs, forMs: at.forMs });
  if (held === undefined) return STAY;
  switch (held.phase) {
    case "pending":
    case "quiet":
      return { kind: "drop" };
    case "firing":
      return at.clearMs === 0 ? end(held.text) : { kind: "move", phase: "clearing", text: held.text, tell: undefined };
    case "clearing":
      return elapsedMs >= at.clearMs ? end(held.text) : STAY;
  }
}

const STAY: AlertStep = { kind: "stay" };

function stepWith(
  held: Pick<AlertState, "phase"> | undefined,
  { text, heldMs }: Pick<ActiveCondition, "text" | "heldMs">,
  { elapsedMs, forMs }: { readonly elapsedMs: number; readonly forMs: number },
): AlertStep {
  switch (held?.phase) {
    case "firing":
      return STAY;
    case "clearing":
      return { kind: "move", phase: "firing", text, tell: undefined };
    case undefined:
    case "quiet":
    case "pending":
      if (Math.max(elapsedMs, heldMs) >= forMs) return { kind: "move", phase: "firing", text, tell: "fired" };
      return held?.phase === "pending" ? STAY : { kind: "move", phase: "pending", text, tell: undefined };
  }
}

function end(text: string): AlertStep {
  return { kind: "move", phase: "quiet", text, tell: "ended" };
}
