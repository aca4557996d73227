/**
 * Runs laps of many subjects, a bounded number at a time. A subject that is woken while its lap runs gets exactly one more
 * after it; one that waits already is not queued twice. `lap` must not reject.
 */
export interface LapQueue<Subject> {
  wake(subject: Subject): void;
  /** Whether a lap of it runs or waits. */
  isBusy(subject: Subject): boolean;
  waiting(): number;
}

export function createLapQueue<Subject>(
  options: { readonly atOnce: number },
  lap: (subject: Subject) => Promise<void>,
): LapQueue<Subject> {
  const waiting = new Set<Subject>();
  const running = new Set<Subject>();

  const fill = () => {
    for (const subject of waiting) {
      if (running.size >= options.atOnce) return;
      if (running.has(subject)) continue;
      waiting.delete(subject);
      running.add(subject);
      const done = () => {
        running.delete(subject);
        fill();
      };
      lap(subject).then(done, done);
    }
  };

  return {
    wake: (subject) => {
      waiting.add(subject);
      fill();
    },
    isBusy: (subject) => running.has(subject) || waiting.has(subject),
    waiting: () => waiting.size,
  };
}
