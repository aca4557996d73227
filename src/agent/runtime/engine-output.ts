import type { OutputName } from "../../contract/fleet/log-line.ts";

/** What a platform keeps of what a session of its wrote, and gives again for as long as it keeps it. */
export interface EngineOutput {
  /** Names what wrote it, such as a container: another one begins anew. */
  readonly instance: string;
  /**
   * Entries from `sinceNs` on, in the order in which each of the two outputs wrote them; earlier ones may come too. Goes on with new ones
   * until the session has ended and all is read. Rejects while the engine cannot be asked, and when the signal aborts.
   */
  read(sinceNs: bigint, signal: AbortSignal): AsyncIterable<EngineEntry>;
}

/** A line with its end, or a piece of a long one without: as the engine holds it. */
export interface EngineEntry {
  readonly output: OutputName;
  /** Without the engine's own time before it. */
  readonly bytes: Buffer;
  /** Nanoseconds since 1970: engines tell so finely, and a position in what they hold is made of it. */
  readonly timeNs: bigint;
  /** The first of something that wrote nothing before, and all that came from elsewhere until then was given to its end. */
  readonly isFresh?: boolean;
}

/** `2026-01-15T10:30:45.123456789Z`, as engines write it, as nanoseconds since 1970; undefined for what is no time. */
export function parseEngineTime(text: string): bigint | undefined {
  const [, moment, fraction = "", zone] =
    /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? [];
  const ms = Date.parse(`${moment}${zone}`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}
