import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";

/**
 * Lets boxes connect at a bounded rate, and gives the others times at which there is room, so that ten thousand that come back
 * together are served one after the other and none of them has to guess. Times are of the monotonic clock.
 */
export interface GateState {
  /** Connections that may begin at once. */
  readonly tokens: number;
  readonly countedMs: number;
  /** The last time that was given out. */
  readonly lastSlotMs: number;
}

export interface GateOptions {
  readonly perSecond: number;
  readonly burst: number;
}

export type GateAnswer =
  | { readonly admitted: true; readonly state: GateState }
  | { readonly admitted: false; readonly state: GateState; readonly retryAfterSeconds: number };

/** An agent takes no more than this at its word. */
const MAX_WAIT_MS = 300_000;

export function openGate({ burst }: GateOptions, nowMs: number): GateState {
  return { tokens: burst, countedMs: nowMs, lastSlotMs: nowMs };
}

/** Pure. */
export function knock(state: GateState, options: GateOptions, now: { nowMs: number; random: Random }): GateAnswer {
  const { nowMs, random } = now;
  const gained = (Math.max(0, nowMs - state.countedMs) / 1000) * options.perSecond;
  const tokens = Math.min(options.burst, state.tokens + gained);
  if (tokens >= 1) {
    return { admitted: true, state: { ...state, tokens: tokens - 1, countedMs: nowMs } };
  }
  const slotMs = Math.max(state.lastSlotMs, nowMs) + 1000 / options.perSecond;
  const waitMs = Math.min(MAX_WAIT_MS, slotMs - nowMs);
  // `Retry-After` has whole seconds: chance decides between the two around the slot, so that none of them fills up.
  const retryAfterSeconds = Math.max(1, Math.floor(waitMs / 1000 + random()));
  const lastSlotMs = waitMs >= MAX_WAIT_MS ? nowMs : slotMs;
  return { admitted: false, state: { tokens, countedMs: nowMs, lastSlotMs }, retryAfterSeconds };
}

export interface ConnectGate {
  /** Seconds to wait, or `undefined` for who may come in. */
  knock(): number | undefined;
  /** Since the start. */
  turnedAway(): number;
}

export function createConnectGate(
  options: GateOptions,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): ConnectGate {
  let state = openGate(options, clock.monotonicMs());
  let turnedAway = 0;
  return {
    knock: () => {
      const answer = knock(state, options, { nowMs: clock.monotonicMs(), random });
      state = answer.state;
      if (answer.admitted) return undefined;
      turnedAway++;
      return answer.retryAfterSeconds;
    },
    turnedAway: () => turnedAway,
  };
}
