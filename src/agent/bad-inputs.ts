/** Counts inputs that were refused or skipped since the start, by kind. */
export interface BadInputs {
  add(kind: string, times?: number): void;
  counts(): Readonly<Record<string, number>>;
}

export function createBadInputs(): BadInputs {
  const counts: Record<string, number> = {};
  return {
    add: (kind, times = 1) => {
      if (times > 0) counts[kind] = (counts[kind] ?? 0) + times;
    },
    counts: () => counts,
  };
}
