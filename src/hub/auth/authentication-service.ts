import { messageOf } from "../../base/errors.ts";
import type { Service } from "../../base/service.ts";
import type { HubContext } from "../hub-context.ts";
import type { Authenticator } from "./authenticator.ts";

const SWEEP_MS = 2000;
const USES_MS = 60_000;

/** Ends what has expired, and hands in when tokens were last used. */
export function createAuthenticationService(authenticator: Authenticator, { store, clock, log }: HubContext): Service {
  return {
    name: "authentication",
    run: async (signal) => {
      let handInAtMs = clock.monotonicMs() + USES_MS;
      while (!signal.aborted) {
        await clock.delay(SWEEP_MS, signal).catch(() => undefined);
        if (signal.aborted) break;
        await authenticator.sweep();
        if (clock.monotonicMs() < handInAtMs) continue;
        handInAtMs = clock.monotonicMs() + USES_MS;
        const uses = authenticator.takeUses();
        if (uses.length === 0) continue;
        await store.operatorTokens
          .noteUsed(uses)
          .catch((thrown: unknown) => log.debug(`Could not note when tokens were last used: ${messageOf(thrown)}`));
      }
      authenticator.close();
    },
  };
}
