import { randomBytes } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { createMemoryLog, type MemoryLog } from "../base/log.ts";
import type { HubContext } from "./hub-context.ts";

/** What the parts of a hub share, for tests of one of them. Draws lie in the middle. */
export function testHubContext(
  given: Pick<HubContext, "store" | "life"> & { readonly clock: Clock } & Partial<
      Pick<HubContext, "hubId" | "secrets">
    >,
): HubContext & { readonly log: MemoryLog } {
  return {
    hubId: "hub-1",
    version: "0",
    random: () => 0.5,
    log: createMemoryLog(),
    newSecret: () => randomBytes(32).toString("base64url"),
    secrets: undefined,
    ...given,
  };
}
