import { z } from "zod";

/** Spans of time as people write them: `45s`, `30m`, `1h30m`, `2d`. */

const DURATION = /^(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?$/;
const FACTORS_MS = [86_400_000, 3_600_000, 60_000, 1000] as const;

export const DURATION_ALLOWED = "a span of time, for example 45s, 30m, 1h30m or 2d";

/** Milliseconds; undefined for what is no span of time, or none at all. */
export function parseDurationMs(text: string): number | undefined {
  const [, ...amounts] = DURATION.exec(text) ?? [];
  const ms = FACTORS_MS.reduce((sum, factor, index) => sum + factor * Number(amounts[index] ?? 0), 0);
  return ms > 0 ? ms : undefined;
}

/** From `least` to ten years, in milliseconds. */
export function durationTextSchema(leastMs: number) {
  return z.string().refine(
    (text) => {
      const ms = parseDurationMs(text);
      return ms !== undefined && ms >= leastMs && ms <= 3_650 * FACTORS_MS[0];
    },
    `must be ${DURATION_ALLOWED}, at least ${leastMs / 1000}s`,
  );
}
