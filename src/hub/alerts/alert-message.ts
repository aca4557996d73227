import { createHmac } from "node:crypto";
import type { AlertState, NewDelivery } from "../store/alerts.ts";
import type { AlertRule } from "./alert-rule.ts";

/** Body of a message to a webhook. `id` is the same in every attempt: a receiver may get a message twice. */
export interface AlertMessage {
  readonly version: 1;
  readonly id: string;
  readonly rule: string;
  readonly condition: string;
  readonly phase: "fired" | "ended";
  readonly subject: string;
  readonly box: string;
  readonly workload?: string;
  readonly text: string;
  /** ISO 8601. */
  readonly at: string;
}

/** Pure. The message of a transition. The rule is its target: where it leads to is looked up when it is sent. */
export function deliveryOf(
  state: Pick<AlertState, "ruleId" | "subject" | "revision" | "text">,
  told: { readonly tell: "fired" | "ended"; readonly rule: AlertRule; readonly nowMs: number },
): NewDelivery {
  const [, box = "", workload] = state.subject.split("/");
  const id = [state.ruleId, ...state.subject.split("/").slice(1), told.nowMs.toString(36), told.tell].join(".");
  const body: AlertMessage = {
    version: 1,
    id,
    rule: state.ruleId,
    condition: told.rule.condition,
    phase: told.tell,
    subject: state.subject,
    box,
    ...(workload === undefined ? {} : { workload }),
    text: state.text,
    at: new Date(told.nowMs).toISOString(),
  };
  return { id, target: state.ruleId, body };
}

/**
 * Pure. Headers that prove a message: HMAC-SHA-256 over `<timestamp>.<body>` with the rule's secret, as hex. A receiver refuses
 * old timestamps, so that a message cannot be played again.
 */
export function signatureHeaders(body: string, secret: string | undefined, nowMs: number): Record<string, string> {
  const timestamp = String(Math.floor(nowMs / 1000));
  if (secret === undefined) return { "x-sluice-timestamp": timestamp };
  const signature = createHmac("sha256", secret).update(`${timestamp}.${body}`).digest("hex");
  return { "x-sluice-timestamp": timestamp, "x-sluice-signature": `sha256=${signature}` };
}
