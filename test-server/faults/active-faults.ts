import { COMMAND_DELIVERIES, type CommandDelivery } from "../state/command-book.ts";
import type { FaultKind, FaultName, FaultValues } from "./fault-catalog.ts";

/** A lasting fault that was asked for. Times are of the monotonic clock. */
export interface ActiveFault {
  readonly name: FaultName;
  readonly values: FaultValues;
  readonly sinceMs: number;
  /** Absent: until cleared or used up. */
  readonly untilMs: number | undefined;
  /** Events that it still spoils. Absent: no such limit. */
  readonly eventsLeft: number | undefined;
}

export type ActiveFaults = readonly ActiveFault[];

/** The same fault asked for again replaces the earlier one. */
export function withFault(
  active: ActiveFaults,
  asked: { kind: FaultKind & { name: FaultName }; values: FaultValues; nowMs: number },
): ActiveFaults {
  const seconds = numberOf(asked.values, "seconds");
  const fault: ActiveFault = {
    name: asked.kind.name,
    values: asked.values,
    sinceMs: asked.nowMs,
    untilMs: seconds === undefined || seconds === 0 ? undefined : asked.nowMs + seconds * 1000,
    eventsLeft: numberOf(asked.values, "events"),
  };
  return [...active.filter(({ name }) => name !== fault.name), fault];
}

export function withoutExpired(active: ActiveFaults, nowMs: number): ActiveFaults {
  const alive = active.filter(
    ({ untilMs, eventsLeft }) =>
      (untilMs === undefined || nowMs < untilMs) && (eventsLeft === undefined || eventsLeft > 0),
  );
  return alive.length === active.length ? active : alive;
}

/** After one event was sent to whoever is connected. */
export function afterEvent(active: ActiveFaults): ActiveFaults {
  if (!active.some(({ eventsLeft }) => eventsLeft !== undefined)) return active;
  return active
    .map((fault) => (fault.eventsLeft === undefined ? fault : { ...fault, eventsLeft: fault.eventsLeft - 1 }))
    .filter(({ eventsLeft }) => eventsLeft === undefined || eventsLeft > 0);
}

/** How a new SSE connection is answered. The first that applies wins: what breaks more comes first. */
export type ConnectAnswer =
  | { readonly kind: "serve" }
  | { readonly kind: "silent"; readonly headers: boolean }
  | { readonly kind: "refuse"; readonly status: number; readonly retryAfterSeconds: number | undefined }
  | { readonly kind: "html" }
  /** `to` empty: the server's own address by another name. */
  | { readonly kind: "redirect"; readonly status: number; readonly to: string };

export function answerToConnect(active: ActiveFaults): ConnectAnswer {
  const silent = find(active, "silent");
  if (silent !== undefined) return { kind: "silent", headers: silent["headers"] === true };
  const refuse = find(active, "refuse");
  if (refuse !== undefined) {
    const status = numberOf(refuse, "status") ?? 503;
    return { kind: "refuse", status, retryAfterSeconds: numberOf(refuse, "retryAfter") };
  }
  if (find(active, "html") !== undefined) return { kind: "html" };
  const redirect = find(active, "redirect");
  if (redirect !== undefined) {
    return { kind: "redirect", status: numberOf(redirect, "status") ?? 307, to: String(redirect["to"] ?? "") };
  }
  return { kind: "serve" };
}

/** How one event is written. */
export interface WritePlan {
  readonly delayMs: number;
  readonly byteByByte: boolean;
  readonly closeAfter: boolean;
}

export function planWrite(active: ActiveFaults): WritePlan {
  const delay = find(active, "delay");
  return {
    delayMs: delay === undefined ? 0 : (numberOf(delay, "ms") ?? 0),
    byteByByte: find(active, "split") !== undefined,
    closeAfter: find(active, "close-after-event") !== undefined,
  };
}

export function beatsAreSent(active: ActiveFaults): boolean {
  return find(active, "no-beats") === undefined;
}

/** Whether the RTMP server reads nothing. */
export function receiverIsFrozen(active: ActiveFaults): boolean {
  return find(active, "freeze") !== undefined;
}

/** The status that reports get instead of being accepted. */
export function reportRefusal(active: ActiveFaults): number | undefined {
  const refuse = find(active, "refuse-reports");
  return refuse === undefined ? undefined : (numberOf(refuse, "status") ?? 503);
}

export function commandDelivery(active: ActiveFaults): CommandDelivery {
  const how = find(active, "commands")?.["how"];
  return COMMAND_DELIVERIES.find((one) => one === how) ?? "once";
}

function find(active: ActiveFaults, name: FaultName): FaultValues | undefined {
  return active.find((fault) => fault.name === name)?.values;
}

function numberOf(values: FaultValues, name: string): number | undefined {
  const value = values[name];
  return typeof value === "number" ? value : undefined;
}
