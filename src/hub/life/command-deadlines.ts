import { messageOf } from "../../base/errors.ts";
import type { Service } from "../../base/service.ts";
import type { HubContext } from "../hub-context.ts";

const PERIOD_MS = 1000;
const AT_ONCE = 200;

/** Sees to it that a command which nobody answers is told as expired when its deadline passes, also after the hub that took it is gone. */
export function createCommandDeadlines({
  store,
  clock,
  random,
  log,
}: Pick<HubContext, "store" | "clock" | "random" | "log">): Service {
  let isAway = false;
  const sweep = async () => {
    let seen: number;
    do {
      seen = await store.commands.expireDue(clock.wallMs(), AT_ONCE);
    } while (seen === AT_ONCE);
  };
  return {
    name: "command deadlines",
    run: async (signal) => {
      while (!signal.aborted) {
        try {
          await sweep();
          isAway = false;
        } catch (thrown) {
          if (!isAway)
            log.warn(`Deadlines of commands cannot be watched until the store answers: ${messageOf(thrown)}`);
          isAway = true;
        }
        await clock.delay(PERIOD_MS * (0.75 + random() / 2), signal).catch(() => undefined);
      }
    },
  };
}
