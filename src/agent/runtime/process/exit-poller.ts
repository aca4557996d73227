import type { Clock, Timer } from "../../../base/clock.ts";
import type { KeptProcess } from "../../../base/process-table.ts";

/** Watches processes that are not our children, for which the kernel sends us no word. One timer for all, none for none. */
export interface ExitPoller {
  watch(kept: KeptProcess): ExitWatch;
}

export interface ExitWatch {
  /** Settles once the process is gone or a zombie. Never, when the poller's signal aborts first. */
  readonly gone: Promise<void>;
  /** Looks more often until the returned function is called. */
  hurry(): () => void;
}

export const POLL_MS = 250;
export const HURRIED_POLL_MS = 25;
/** Each so manieth look reads what the kernel has to say: it also finds a zombie, and a number given to another. */
const THOROUGH_EVERY = 4;

export function createExitPoller(deps: { readonly clock: Clock; readonly signal: AbortSignal }): ExitPoller {
  const watched = new Map<KeptProcess, () => void>();
  let hurried = 0;
  let looks = 0;
  let timer: Timer | undefined;

  const arm = () => {
    timer?.clear();
    timer = undefined;
    if (watched.size === 0 || deps.signal.aborted) return;
    timer = deps.clock.timer(hurried > 0 ? HURRIED_POLL_MS : POLL_MS, look);
  };
  const look = () => {
    looks += 1;
    const isThorough = hurried > 0 || looks % THOROUGH_EVERY === 0;
    for (const [kept, settle] of watched) {
      if (isThorough ? kept.isLive() : kept.mayLive()) continue;
      watched.delete(kept);
      settle();
    }
    arm();
  };
  deps.signal.addEventListener("abort", () => {
    for (const kept of watched.keys()) kept.close();
    watched.clear();
    arm();
  });

  return {
    watch: (kept) => {
      const gone = new Promise<void>((resolve) => watched.set(kept, resolve));
      if (timer === undefined) arm();
      return {
        gone,
        hurry: () => {
          hurried += 1;
          if (hurried === 1) arm();
          let isHurried = true;
          return () => {
            if (isHurried) hurried -= 1;
            isHurried = false;
          };
        },
      };
    },
  };
}
