import type { Hint } from "../store/store.ts";
import { ROLLOUT_KIND } from "./rollout-objects.ts";

/** Which boxes have to be looked at again. */
export interface DirtyBoxes {
  note(hint: Hint): void;
  markAll(): void;
  mark(boxId: string): void;
  /** Those, and none is dirty any more. */
  take(): "all" | readonly string[];
  /** Resolves when some are. */
  untilSome(): Promise<void>;
}

export function createDirtyBoxes(): DirtyBoxes {
  const ids = new Set<string>();
  let isAll = true;
  let wake: () => void = () => undefined;
  const markAll = () => {
    isAll = true;
    wake();
  };
  const mark = (boxId: string) => {
    ids.add(boxId);
    wake();
  };
  return {
    markAll,
    mark,
    note: (hint) => {
      if (hint.kind === "box" || hint.kind === "expected") mark(hint.boxId);
      if (hint.kind === "all" || (hint.kind === "objects" && hint.of === ROLLOUT_KIND)) markAll();
    },
    take: () => {
      const taken = isAll ? "all" : [...ids];
      isAll = false;
      ids.clear();
      return taken;
    },
    untilSome: () =>
      new Promise((resolve) => {
        if (isAll || ids.size > 0) resolve();
        else wake = resolve;
      }),
  };
}
