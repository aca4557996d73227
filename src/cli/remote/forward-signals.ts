import type { Clock } from "../../base/clock.ts";
import type { Console, ForwardedSignal } from "./console.ts";
import { failure } from "./remote-failure.ts";
import type { RunningExec } from "./run-exec.ts";

/** A second one so soon after the first means this program, not the command. */
const TWICE_MS = 2000;

export type SignalMeaning = "forward" | "leave";

/** Pure. `lastMs`: when the same signal was forwarded before. */
export function judgeSignal(
  name: ForwardedSignal,
  { lastMs, nowMs }: { readonly lastMs: number | undefined; readonly nowMs: number },
): SignalMeaning {
  return name === "INT" && lastMs !== undefined && nowMs - lastMs <= TWICE_MS ? "leave" : "forward";
}

/** Signals of this process reach the command; before there is one they end the wait for it. Returns how to let go. */
export function forwardSignals(
  { console, clock }: { readonly console: Console; readonly clock: Clock },
  targets: {
    readonly running: () => Pick<RunningExec, "signal" | "leave"> | undefined;
    readonly giveUp: (name: ForwardedSignal) => void;
  },
): () => void {
  const last = new Map<ForwardedSignal, number>();
  return console.takeSignals((name) => {
    const running = targets.running();
    if (running === undefined) {
      targets.giveUp(name);
      return;
    }
    const nowMs = clock.monotonicMs();
    const meaning = judgeSignal(name, { lastMs: last.get(name), nowMs });
    last.set(name, nowMs);
    if (meaning === "forward") running.signal(name);
    else running.leave(failure("lost", "cancelled", "interrupted twice; the command is being ended"));
  });
}
