import type { Clock } from "./clock.ts";

/** Lets a bounded number of lines a minute through, and says with the next one how many it left out. */
export interface LineBudget {
  write(line: string, to: (line: string) => void): void;
}

export function createLineBudget(linesPerMinute: number, clock: Clock): LineBudget {
  let startedAtMs = Number.NEGATIVE_INFINITY;
  let written = 0;
  let leftOut = 0;
  return {
    write: (line, to) => {
      if (clock.monotonicMs() - startedAtMs >= 60_000) {
        startedAtMs = clock.monotonicMs();
        written = 0;
      }
      if (written >= linesPerMinute) {
        leftOut++;
        return;
      }
      written++;
      to(leftOut === 0 ? line : `${line} [${leftOut} more such lines were left out]`);
      leftOut = 0;
    },
  };
}
