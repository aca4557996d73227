import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { createWake } from "../../base/wake.ts";
import type { SyncProgress } from "../../contract/transfer/sync-progress.ts";
import type { TransferBook } from "./transfer-book.ts";
import { isOver, type Transfer } from "./transfer-record.ts";
import type { ViewTransfer } from "./transfer-view.ts";

/** Who watches one transfer. */
export interface TransferWatcher {
  progress(shown: SyncProgress): void;
  /** Nothing has changed for long; it is still looked at. */
  beat(): void;
  /** It was taken away. */
  gone(): void;
  readonly signal: AbortSignal;
}

export interface FollowDeps {
  readonly book: Pick<TransferBook, "known" | "onChange">;
  /** Rejects with `not-found`. */
  readonly find: (id: string) => Promise<Transfer>;
  readonly view: ViewTransfer;
  readonly clock: Clock;
}

/** The figures of workers come with their heartbeats; what the hub itself has changed is told sooner, and the end at once. */
const STEP_MS = { figures: 500, changed: 100 } as const;
/** Of silence: balancers cut connections on which nothing comes for a minute. */
export const WATCH_BEAT_MS = 15_000;

export interface FollowedTransfer {
  /** As it is now: what `watch` tells first. */
  readonly first: { readonly shown: SyncProgress; readonly isOver: boolean };
  /** Resolves when it is over, gone, or nobody watches any more. */
  readonly watch: (watcher: TransferWatcher) => Promise<void>;
}

/** What it gives rejects when the transfer is not there to begin with. */
export function createTransferFollower(deps: FollowDeps): (id: string) => Promise<FollowedTransfer> {
  const { book, find, view, clock } = deps;
  const changes = createWake({ clock });
  book.onChange(changes.ring);

  /** Until there is something to tell: of its end without any wait. */
  const untilChanged = async ({ id, revision }: Transfer, signal: AbortSignal): Promise<void> => {
    const sinceMs = clock.monotonicMs();
    while (!signal.aborted) {
      const now = book.known(id);
      const hasChanged = now?.revision !== revision;
      if (now === undefined || (hasChanged && isOver(now))) return;
      const leftMs = sinceMs + (hasChanged ? STEP_MS.changed : STEP_MS.figures) - clock.monotonicMs();
      if (leftMs <= 0) return;
      await changes.wait(leftMs, signal).catch(() => undefined);
    }
  };

  return async (id) => {
    const first = await find(id);
    const firstShown = await view(first);
    const watch = async (watcher: TransferWatcher) => {
      const { signal } = watcher;
      let transfer = first;
      let shown: SyncProgress | undefined = firstShown;
      let text = "";
      let saidMs = clock.monotonicMs();
      while (!signal.aborted) {
        const next = shown === undefined ? text : JSON.stringify(shown);
        if (shown !== undefined && next !== text) {
          text = next;
          saidMs = clock.monotonicMs();
          watcher.progress(shown);
        } else if (clock.monotonicMs() - saidMs >= WATCH_BEAT_MS) {
          saidMs = clock.monotonicMs();
          watcher.beat();
        }
        if (shown !== undefined && isOver(transfer)) return;
        await untilChanged(transfer, signal);
        if (signal.aborted) return;
        try {
          transfer = await find(id);
          shown = await view(transfer);
        } catch (thrown) {
          if (thrown instanceof AppError && thrown.code === "not-found") return watcher.gone();
          // While the store is away nothing can be told; that is no end.
          shown = undefined;
          await clock.delay(STEP_MS.figures, signal).catch(() => undefined);
        }
      }
    };
    return { first: { shown: firstShown, isOver: isOver(first) }, watch };
  };
}
