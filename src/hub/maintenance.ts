import { messageOf } from "../base/errors.ts";
import type { Service } from "../base/service.ts";
import type { HubContext } from "./hub-context.ts";

const PERIOD_MS = 60_000;

/** Removes what has expired. Any hub may, and all do, at times of their own. */
export function createMaintenance({ store, clock, random, log }: HubContext): Service {
  return {
    name: "maintenance",
    run: async (signal) => {
      while (!signal.aborted) {
        await clock.delay(PERIOD_MS * (0.75 + random() / 2), signal).catch(() => undefined);
        if (signal.aborted) return;
        try {
          const { removed } = await store.maintain(clock.wallMs());
          if (removed > 0) log.debug(`Removed ${removed} expired documents`);
        } catch (thrown) {
          log.warn(`What has expired could not be removed and stays until the next round: ${messageOf(thrown)}`);
        }
      }
    },
  };
}
