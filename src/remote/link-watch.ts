import type { Clock, Timer } from "../base/clock.ts";

/** Knows whether the other end of a carrier is still there, and how far away. */
export interface LinkWatch {
  /** Smallest round trip of this carrier. */
  readonly rttMs: number | undefined;
  start(): void;
  greeted(): void;
  /** Anything at all has come. */
  heard(): void;
  answered(id: number): void;
  /** Asks at once whether the other end is there; gives what `answered` is told with. */
  ask(): number;
  /** Since anything at all has come on this carrier. */
  readonly silentMs: number;
  stop(): void;
}

export interface LinkWatchDeps {
  readonly clock: Clock;
  readonly ping: (id: number) => void;
  /** Something was sent and is not acknowledged. */
  readonly isBusy: () => boolean;
  readonly onDead: (message: string) => void;
}

/** Below the 30 s of carriers' address translation and the 60 s of proxies. */
const PING_MS = 15_000;
const BUSY_PING_MS = 5000;
const DEAD_MS = 40_000;
/** With something on its way silence means more. */
const BUSY_DEAD_MS = 20_000;
const GREETING_MS = 20_000;
const TICK_MS = 1000;

export function createLinkWatch({ clock, ping, isBusy, onDead }: LinkWatchDeps): LinkWatch {
  let rttMs: number | undefined;
  let heardMs = 0;
  let busySinceMs: number | undefined;
  let pingedMs = 0;
  let nextId = 1;
  let isGreeted = false;
  let timer: Timer | undefined;
  let asked: { readonly id: number; readonly atMs: number } | undefined;

  const ask = (nowMs: number) => {
    pingedMs = nowMs;
    asked = { id: nextId++, atMs: nowMs };
    ping(asked.id);
    return asked.id;
  };
  const look = () => {
    timer = clock.timer(TICK_MS, look);
    const nowMs = clock.monotonicMs();
    busySinceMs = isBusy() ? (busySinceMs ?? nowMs) : undefined;
    const silentMs = nowMs - heardMs;
    const busyMs = busySinceMs === undefined ? 0 : Math.min(silentMs, nowMs - busySinceMs);
    const limitMs = isGreeted ? DEAD_MS : GREETING_MS;
    if (silentMs >= limitMs || (isGreeted && busyMs >= BUSY_DEAD_MS)) {
      return onDead(`the other end has said nothing for ${Math.round(silentMs / 1000)} s`);
    }
    if (!isGreeted) return;
    const quietMs = Math.min(silentMs, nowMs - pingedMs);
    if (quietMs >= PING_MS || (busyMs > 0 && quietMs >= BUSY_PING_MS)) ask(nowMs);
  };

  const stop = () => {
    timer?.clear();
    timer = undefined;
  };
  return {
    get rttMs() {
      return rttMs;
    },
    start: () => {
      stop();
      rttMs = undefined;
      asked = undefined;
      isGreeted = false;
      busySinceMs = undefined;
      heardMs = clock.monotonicMs();
      timer = clock.timer(TICK_MS, look);
    },
    greeted: () => {
      isGreeted = true;
      ask(clock.monotonicMs());
    },
    heard: () => {
      heardMs = clock.monotonicMs();
      busySinceMs = undefined;
    },
    answered: (id) => {
      if (asked?.id !== id) return;
      const tookMs = clock.monotonicMs() - asked.atMs;
      rttMs = Math.min(rttMs ?? tookMs, tookMs);
    },
    ask: () => ask(clock.monotonicMs()),
    get silentMs() {
      return clock.monotonicMs() - heardMs;
    },
    stop,
  };
}
