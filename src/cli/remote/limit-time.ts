import type { Clock } from "../../base/clock.ts";
import { formatDuration } from "../duration.ts";
import type { ExecOutcome } from "./judge-exit.ts";
import { outcomeOfFailure } from "./judge-exit.ts";
import { failure } from "./remote-failure.ts";
import type { RunningExec } from "./run-exec.ts";

/** From SIGTERM to SIGKILL, and from there until nobody waits any more. */
const KILL_AFTER_MS = 5000;

/** The outcome of a command that may run so long: then it gets SIGTERM, then SIGKILL. Its exit status is then 252, whatever its own. */
export async function limitTime(
  running: RunningExec,
  limitSeconds: number | undefined,
  clock: Clock,
): Promise<ExecOutcome> {
  if (limitSeconds === undefined) return running.outcome;
  let isLate = false;
  const late = failure(
    "unreachable",
    "timeout",
    `the command did not end within ${formatDuration(limitSeconds)}, and was stopped`,
  );
  let timer = clock.timer(limitSeconds * 1000, () => {
    isLate = true;
    running.signal("TERM");
    timer = clock.timer(KILL_AFTER_MS, () => {
      running.signal("KILL");
      timer = clock.timer(KILL_AFTER_MS, () => running.leave(late));
    });
  });
  const outcome = await running.outcome;
  timer.clear();
  return isLate ? outcomeOfFailure(late) : outcome;
}
