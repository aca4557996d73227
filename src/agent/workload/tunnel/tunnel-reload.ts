import type { Clock } from "../../../base/clock.ts";
import type { ProcessHandle } from "../../runtime/process/process-runtime.ts";

export interface ReloadDeps {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The last lines of the process's own output, read just now. */
  readonly output: () => readonly string[];
}

export type ReloadOutcome =
  | { readonly kind: "loaded" }
  /** It goes on with what it had. */
  | { readonly kind: "rejected"; readonly evidence: string }
  | { readonly kind: "unanswered" };

const ANSWER_MS = 2000;
const POLL_MS = 10;

/**
 * Has a running stunnel read its files again (SIGHUP), and waits until it says whether it did. Connections go on with
 * what they began with. Never rejects but with the signal's reason.
 */
export async function reloadTunnel(
  handle: Pick<ProcessHandle, "signal">,
  { clock, signal, output }: ReloadDeps,
): Promise<ReloadOutcome> {
  const before = output();
  if (!handle.signal("SIGHUP")) return { kind: "unanswered" };
  for (const endMs = clock.monotonicMs() + ANSWER_MS; clock.monotonicMs() < endMs; ) {
    await clock.delay(POLL_MS, signal);
    const outcome = judgeReload(newLines(before, output()));
    if (outcome !== undefined) return outcome;
  }
  return { kind: "unanswered" };
}

function judgeReload(lines: readonly string[]): ReloadOutcome | undefined {
  const failed = lines.findIndex((line) => /Failed to reload the configuration file/.test(line));
  if (failed >= 0) {
    const said = lines
      .slice(0, failed)
      .findLast((line) => /LOG[0-3]\[/.test(line) && !/Configuration failed/.test(line));
    return {
      kind: "rejected",
      evidence: (said ?? "it does not say why").replace(/^[\d.]+ [\d:]+ LOG\d\[[^\]]*\]: /, ""),
    };
  }
  return lines.some((line) => /Configuration successful/.test(line)) ? { kind: "loaded" } : undefined;
}

/** What has come since: only the last lines are kept, so the old ones are found again by what still stands before the end. */
export function newLines(before: readonly string[], after: readonly string[]): readonly string[] {
  for (let count = 0; count < after.length; count++) {
    const kept = after.slice(0, after.length - count);
    const tail = before.slice(before.length - kept.length);
    if (kept.length <= before.length && kept.every((line, index) => line === tail[index]))
      return after.slice(kept.length);
  }
  return after;
}
