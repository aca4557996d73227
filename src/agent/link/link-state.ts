import type { Random } from "../../base/random.ts";
import type { LINK_STATES } from "../../contract/local-status.ts";
import { type AttemptEnd, describeEnd, LONG_WAIT_STATUSES } from "./attempt-end.ts";
import {
  askedDelayMs,
  atLeastAsked,
  backoffDelayMs,
  clampServerDelayMs,
  longWaitMs,
  quickDelayMs,
} from "./retry-delay.ts";

export type LinkStateName = (typeof LINK_STATES)[number];

/**
 * Where the link stands. Invariants:
 * - no state but `off` is final: each end of an attempt sets the time of the next;
 * - `attempts` goes back to 0 only when an event arrives, never because a connection opened;
 * - `degraded` covers waiting and dialling alike, so that it does not flicker, and ends when a connection opens.
 */
export interface LinkState {
  readonly name: LinkStateName;
  /** Attempts begun since an event last arrived, the one under way included. */
  readonly attempts: number;
  /** Answers in a row with a status of the long waits. */
  readonly refusals: number;
  /** Snapshots asked for since one last came. */
  readonly asks: number;
  /** An event came over the present connection. */
  readonly hasEvent: boolean;
  /** The server's last `retry:`, clamped. It outlives the connection. */
  readonly serverRetryMs: number | undefined;
  /** Monotonic time of the next attempt; `undefined` unless one is waited for. */
  readonly dialAtMs: number | undefined;
  /** Why the last attempt or connection ended. */
  readonly reason: string | undefined;
}

export type LinkInput =
  | { readonly kind: "start" }
  | { readonly kind: "dial" }
  | { readonly kind: "open" }
  | { readonly kind: "event" }
  /** An event that holds the whole set arrived. */
  | { readonly kind: "snapshot" }
  | { readonly kind: "retry"; readonly ms: number }
  | { readonly kind: "end"; readonly end: AttemptEnd }
  | { readonly kind: "stop" };

export interface LinkStateContext {
  /** Monotonic. */
  readonly nowMs: number;
  readonly random: Random;
  readonly retryDelayMs: number;
  readonly maxRetries: number;
}

export const INITIAL_LINK_STATE: LinkState = {
  name: "off",
  attempts: 0,
  refusals: 0,
  asks: 0,
  hasEvent: false,
  serverRetryMs: undefined,
  dialAtMs: undefined,
  reason: undefined,
};

/** The state after `input`; the same object when the input means nothing in this state. */
export function nextLinkState(state: LinkState, input: LinkInput, context: LinkStateContext): LinkState {
  const isWaiting = state.dialAtMs !== undefined;
  const isDialling = state.name === "connecting" || (state.name === "degraded" && !isWaiting);
  switch (input.kind) {
    case "start":
      return state.name === "off" ? { ...INITIAL_LINK_STATE, name: "waiting", dialAtMs: context.nowMs } : state;
    case "dial": {
      if (!isWaiting) return state;
      const name = state.name === "degraded" ? "degraded" : "connecting";
      return { ...state, name, attempts: state.attempts + 1, hasEvent: false, dialAtMs: undefined };
    }
    case "open":
      return isDialling ? { ...state, name: "live", refusals: 0 } : state;
    case "event":
      return state.name === "live" && !(state.hasEvent && state.attempts === 0)
        ? { ...state, attempts: 0, hasEvent: true }
        : state;
    case "snapshot":
      return state.name === "off" || state.asks === 0 ? state : { ...state, asks: 0 };
    case "retry":
      return state.name === "off" ? state : { ...state, serverRetryMs: clampServerDelayMs(input.ms) };
    case "end":
      return isDialling || state.name === "live" ? afterEnd(state, input.end, context) : state;
    case "stop":
      return state.name === "off" ? state : INITIAL_LINK_STATE;
  }
}

function afterEnd(state: LinkState, end: AttemptEnd, context: LinkStateContext): LinkState {
  const isRefusal = end.kind === "status" && LONG_WAIT_STATUSES.has(end.status);
  const counted = {
    ...state,
    refusals: isRefusal ? state.refusals + 1 : 0,
    asks: end.kind === "asked" ? state.asks + 1 : state.asks,
  };
  const delayMs = atLeastAsked(ownDelayMs(counted, end, context), state.serverRetryMs, context.random);
  return {
    ...counted,
    name: state.attempts >= Math.max(1, context.maxRetries) ? "degraded" : "waiting",
    hasEvent: false,
    dialAtMs: context.nowMs + delayMs,
    reason: describeEnd(end),
  };
}

function ownDelayMs(state: LinkState, end: AttemptEnd, context: LinkStateContext): number {
  const { random, retryDelayMs } = context;
  if (end.kind === "asked") return askedDelayMs(state.asks, random);
  if (end.kind === "ended" && state.hasEvent) return quickDelayMs(random);
  if (state.refusals > 0) {
    const askedMs = end.kind === "status" ? end.retryAfterMs : undefined;
    return askedMs === undefined ? longWaitMs(state.refusals, random) : atLeastAsked(0, askedMs, random);
  }
  const isBusy = end.kind === "status" && (end.status === 429 || end.status === 503) && end.retryAfterMs !== undefined;
  if (!isBusy) return backoffDelayMs(state.attempts, retryDelayMs, random);
  // The server says when it has room: a delay that doubles beside that would only miss it.
  return atLeastAsked(backoffDelayMs(1, retryDelayMs, random), end.retryAfterMs, random);
}
