import type { Clock } from "./clock.ts";

/**
 * Knows which loops of this process have stopped advancing. A timer that fires says nothing about them: each loop says
 * itself that it came round, and by when it will again.
 */
export interface ProgressWatch {
  /** `name` is for people. A loop is watched from its first `advance` on. */
  loop(name: string): LoopProgress;
  /** Loops that are past their time, the latest of them first. */
  overdue(): readonly OverdueLoop[];
}

export interface LoopProgress {
  /** The loop has come round, and will again within `withinMs`; the watch adds its grace. */
  advance(withinMs: number): void;
  /** Nothing is due until the next `advance`. */
  rest(): void;
}

export interface OverdueLoop {
  readonly name: string;
  /** Since it last advanced. */
  readonly silentMs: number;
  /** What it was allowed, grace included. */
  readonly allowedMs: number;
}

export interface ProgressWatchOptions {
  /** For a busy machine: on top of what each loop promises. */
  readonly graceMs: number;
}

export function createProgressWatch(
  options: ProgressWatchOptions,
  deps: { readonly clock: Pick<Clock, "monotonicMs"> },
): ProgressWatch {
  const due = new Map<string, { readonly sinceMs: number; readonly allowedMs: number }>();
  return {
    loop: (name) => ({
      advance: (withinMs) => {
        due.set(name, { sinceMs: deps.clock.monotonicMs(), allowedMs: withinMs + options.graceMs });
      },
      rest: () => void due.delete(name),
    }),
    overdue: () => {
      const nowMs = deps.clock.monotonicMs();
      return [...due]
        .map(([name, { sinceMs, allowedMs }]) => ({ name, silentMs: nowMs - sinceMs, allowedMs }))
        .filter(({ silentMs, allowedMs }) => silentMs > allowedMs)
        .sort((one, other) => other.silentMs - other.allowedMs - (one.silentMs - one.allowedMs));
    },
  };
}
