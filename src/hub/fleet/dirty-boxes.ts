import type { Hint } from "../store/store.ts";
import { ROLLOUT_KIND } from "./rollout-objects.ts";

/** Which boxes have to be looked at again. */
export interface DirtyBoxes {
  note(hint: Hint): void;
  markAll(): void;
  mark(boxId: string): void;
  /** The box was looked at and its set brought to this revision: if that is all it was marked for, it is not dirty. */
  wrote(boxId: string, revision: number): void;
  /** Those, and none is dirty any more. */
  take(): "all" | readonly string[];
  /** Resolves when some are. */
  untilSome(): Promise<void>;
}

export function createDirtyBoxes(): DirtyBoxes {
  /** With the last revision of its set that it was marked for; `undefined`: for something else as well. */
  const marks = new Map<string, number | undefined>();
  let isAll = true;
  let wake: () => void = () => undefined;
  const markAll = () => {
    isAll = true;
    wake();
  };
  const mark = (boxId: string, revision?: number) => {
    const isFirst = !marks.has(boxId);
    marks.set(boxId, isFirst || marks.get(boxId) !== undefined ? revision : undefined);
    wake();
  };
  return {
    markAll,
    mark: (boxId) => mark(boxId),
    note: (hint) => {
      if (hint.kind === "box") mark(hint.boxId);
      if (hint.kind === "expected") mark(hint.boxId, hint.news?.change.revision);
      if (hint.kind === "all" || (hint.kind === "objects" && hint.of === ROLLOUT_KIND)) markAll();
    },
    wrote: (boxId, revision) => {
      if (marks.get(boxId) === revision) marks.delete(boxId);
    },
    take: () => {
      const taken = isAll ? "all" : [...marks.keys()];
      isAll = false;
      marks.clear();
      return taken;
    },
    untilSome: () =>
      new Promise((resolve) => {
        if (isAll || marks.size > 0) resolve();
        else wake = resolve;
      }),
  };
}
