import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Service } from "../../base/service.ts";
import type { Report } from "../../contract/report.ts";
import type { Store } from "../store/store.ts";
import { SAMPLES_AT_ONCE } from "../store/telemetry.ts";
import type { Sample } from "../store/thinning.ts";
import { figuresOf } from "./sample-of-report.ts";

/** Gathers the figures of reports and hands each box's in at once: the store's cost is one for each hand-in. */
export interface SampleBook extends Service {
  /** Dated by this hub's clock: a box's own may be wrong by years. */
  note(boxId: string, report: Report): void;
  /** What is gathered of a box and not handed in. */
  pending(boxId: string): readonly Sample[];
  /** Hand-ins that were given up because the store was away for too long. */
  dropped(): number;
}

/** A few boxes are handed in at once, thousands once a minute each. */
const HAND_INS_PER_SECOND = 150;
/** Asked for in one turn, so that they share a step of the store. */
const TOGETHER = 16;
const TICK_MS = 1000;
const LONGEST_MS = 60_000;

export function createSampleBook(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}): SampleBook {
  const { store, clock, log } = deps;
  /** In the order of the oldest sample: who waits longest is first. */
  const gathered = new Map<string, { readonly sinceMs: number; readonly samples: Sample[] }>();
  let dropped = 0;
  let isStoreAway = false;

  const handIn = async (boxId: string, samples: readonly Sample[]): Promise<boolean> => {
    try {
      await store.telemetry.append(boxId, samples, clock.wallMs());
      if (isStoreAway) log.info("The store answers again: figures are kept");
      isStoreAway = false;
      return true;
    } catch (thrown) {
      if (!isStoreAway) log.warn(`Figures for charts cannot be kept: ${messageOf(thrown)}`);
      isStoreAway = true;
      return false;
    }
  };

  const takeRound = async (isLast: boolean) => {
    const nowMs = clock.monotonicMs();
    const due = [...gathered].filter(([, { sinceMs }]) => isLast || nowMs - sinceMs >= TICK_MS);
    const overdue = due.filter(([, { sinceMs }]) => nowMs - sinceMs >= LONGEST_MS).length;
    const atMost = isLast ? due.length : Math.max(HAND_INS_PER_SECOND, overdue);
    for (let from = 0; from < Math.min(atMost, due.length); from += TOGETHER) {
      const some = due.slice(from, Math.min(from + TOGETHER, atMost));
      for (const [boxId] of some) gathered.delete(boxId);
      const taken = await Promise.all(some.map(([boxId, entry]) => handIn(boxId, entry.samples)));
      const failed = some.filter((_one, index) => taken[index] !== true);
      for (const [boxId, entry] of failed) {
        const newer = gathered.get(boxId)?.samples ?? [];
        if (isLast) dropped++;
        else gathered.set(boxId, { ...entry, samples: [...entry.samples, ...newer].slice(-SAMPLES_AT_ONCE) });
      }
      if (failed.length > 0) return;
    }
  };

  return {
    name: "telemetry",
    dropped: () => dropped,
    pending: (boxId) => gathered.get(boxId)?.samples ?? [],
    note: (boxId, report) => {
      const values = figuresOf(report);
      if (Object.keys(values).length === 0) return;
      const entry = gathered.get(boxId) ?? { sinceMs: clock.monotonicMs(), samples: [] };
      entry.samples.push({ atMs: clock.wallMs(), values });
      if (entry.samples.length > SAMPLES_AT_ONCE) {
        entry.samples.shift();
        dropped++;
      }
      gathered.set(boxId, entry);
    },
    run: async (signal) => {
      try {
        for (;;) {
          await clock.delay(TICK_MS, signal);
          await takeRound(false);
        }
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
      } finally {
        await takeRound(true);
      }
    },
  };
}
