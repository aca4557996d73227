/**
 * Runs one lap at a time and never misses a wake-up:
 * - a wake during a lap causes exactly one more lap after it, however often it is repeated;
 * - `wake` returns the promise of a lap that began after the call, so a caller can wait for its own change to be seen;
 * - a lap that throws rejects those who wait for it and stops nothing.
 */
export interface LapRunner {
  wake(): Promise<void>;
  /** Resolves when no lap runs and none is due. */
  idle(): Promise<void>;
}

export function createLapRunner(lap: () => Promise<void>): LapRunner {
  let current: Promise<void> | undefined;
  let next: Promise<void> | undefined;

  const startLap = (): Promise<void> => {
    const running = lap();
    current = running;
    const clear = () => {
      if (current === running) current = undefined;
    };
    running.then(clear, clear);
    return running;
  };

  return {
    wake: () => {
      if (current === undefined) return startLap();
      if (next === undefined) {
        const begin = () => {
          next = undefined;
          return startLap();
        };
        next = current.then(begin, begin);
      }
      return next;
    },
    idle: async () => {
      while (current !== undefined || next !== undefined) await (next ?? current)?.catch(() => undefined);
    },
  };
}
