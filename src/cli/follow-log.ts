import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { LogRecord } from "../contract/fleet/log-line.ts";

export interface LogReading {
  readonly tail: number;
  /** ISO 8601. */
  readonly since: string | undefined;
}

export interface FollowLogOptions {
  readonly first: LogReading;
  /** Most lines that one reading may begin with. */
  readonly maxTail: number;
  /** It is known to be a session's. Otherwise its lines show it. */
  readonly isSession: boolean;
}

export interface FollowLogDeps {
  readonly read: (wish: LogReading) => AsyncIterable<LogRecord>;
  readonly clock: Clock;
  /** A reading broke off, and why; it is begun again. */
  readonly onBreak: (reason: string) => void;
}

const AGAIN_MS = 1000;
const MAX_AGAIN_MS = 10_000;

/**
 * Records of a log that is followed. A session's goes on after each break (the agent restarts, the hub does, the network is away): it is read
 * again from the last line that came, and what came already is left out, so no line is there twice and none is missing. Any other log ends
 * where its reading does. Throws what a reading throws, but for a session what may pass.
 */
export async function* followLog(
  { first, maxTail, ...options }: FollowLogOptions,
  { read, clock, onBreak }: FollowLogDeps,
  signal: AbortSignal,
): AsyncGenerator<LogRecord> {
  let { isSession } = options;
  let wish = first;
  let last: { readonly at: string; lines: number } | undefined;
  let waitMs = AGAIN_MS;
  while (!signal.aborted) {
    let reason = "it broke off";
    let known = last?.lines ?? 0;
    let unsized: LogRecord | undefined;
    try {
      for await (const record of read(wish)) {
        // The hub says with a gap that a reading broke off; what came then is read after it.
        if (unsized !== undefined && !(isSession && record.type === "end")) yield unsized;
        unsized =
          record.type === "gap" && record.lines === undefined && record.bytes === undefined ? record : undefined;
        if (unsized !== undefined) continue;
        if (record.type === "end" && isSession && record.failed !== undefined) {
          reason = record.reason;
          break;
        }
        if (record.type === "line" && record.output !== undefined && record.at !== undefined) {
          isSession = true;
          waitMs = AGAIN_MS;
          if (known > 0 && record.at === last?.at) {
            known--;
            continue;
          }
          if (known > 0) yield { type: "gap", reason: "more was written meanwhile than can be asked for at once" };
          known = 0;
          last = { at: record.at, lines: record.at === last?.at ? last.lines + 1 : 1 };
        }
        yield record;
        if (record.type === "end") return;
      }
    } catch (thrown) {
      if (!isSession || !mayPass(thrown)) throw thrown;
      reason = thrown.message;
    }
    if (!isSession || signal.aborted) return;
    onBreak(reason);
    await clock.delay(waitMs, signal).catch(() => undefined);
    waitMs = Math.min(2 * waitMs, MAX_AGAIN_MS);
    if (last !== undefined) wish = { tail: maxTail, since: last.at };
  }
}

function mayPass(thrown: unknown): thrown is AppError {
  return thrown instanceof AppError && ["unavailable", "timeout"].includes(thrown.code);
}
