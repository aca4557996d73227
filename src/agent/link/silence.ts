/** Beats that may fail to come before a connection counts as dead: one lost, the next one late by half. */
const BEATS = 2.5;
const DEFAULT_LIMIT_MS = 45_000;
/** With the longest beat the limit stays below the 300 s after which fetch itself ends a silent body. */
const BEAT_SECONDS = { min: 1, max: 118 } as const;
/** No connection is silent for longer, whatever it announced. */
export const LONGEST_SILENCE_MS = BEAT_SECONDS.max * BEATS * 1000;

/** The period that a comment such as `beat 15` announces. */
export function beatSecondsOf(comment: string): number | undefined {
  const digits = /^\s*beat\s+(\d{1,9})\b/.exec(comment)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** How long no byte may come. */
export function silenceLimitMs(beatSeconds: number | undefined): number {
  if (beatSeconds === undefined) return DEFAULT_LIMIT_MS;
  return Math.min(Math.max(beatSeconds, BEAT_SECONDS.min), BEAT_SECONDS.max) * BEATS * 1000;
}
