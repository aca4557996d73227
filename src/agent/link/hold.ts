import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { AgentStatus } from "../../contract/local-status.ts";

/** Whether the hub keeps this box waiting, said in the log when it begins, changes and ends. */
export interface Hold {
  begin(reason: string): void;
  end(): void;
  status(): AgentStatus["hold"];
}

export function createHold(boxId: string, deps: { readonly clock: Clock; readonly log: Log }): Hold {
  const { clock, log } = deps;
  let hold: AgentStatus["hold"];
  const texts: Readonly<Record<string, string>> = {
    pending: `The hub knows this box and waits for a person to approve it: sluice box approve ${boxId}`,
    quarantined: `The hub has put this box in quarantine: another machine goes by the same identity. Streams stay as they are. Enrol the copy anew (sluice enrol), then: sluice box release ${boxId}`,
  };
  return {
    begin: (reason) => {
      if (hold?.reason === reason) return;
      hold = { reason, since: new Date(clock.wallMs()).toISOString() };
      log.warn(texts[reason] ?? `The hub keeps this box waiting: ${reason}`);
    },
    end: () => {
      if (hold !== undefined) log.info("The hub lets this box work");
      hold = undefined;
    },
    status: () => hold,
  };
}
