import { userInfo } from "node:os";
import type { Clock } from "../base/clock.ts";
import type { WorkerAbility } from "../contract/transfer/worker-ability.ts";
import { hasXattrTools, type XattrDeps } from "./storage/xattrs.ts";

/** A package may be installed, or go, while the worker runs. */
const LOOK_MS = 60_000;

/** What this worker can at the moment. */
export function createAbilities(deps: XattrDeps & { readonly clock: Clock }): () => Promise<readonly WorkerAbility[]> {
  let lookedMs = Number.NEGATIVE_INFINITY;
  let hasTools = false;
  return async () => {
    const nowMs = deps.clock.monotonicMs();
    if (nowMs - lookedMs >= LOOK_MS) {
      lookedMs = nowMs;
      hasTools = await hasXattrTools(deps);
    }
    if (!hasTools) return ["verify"];
    return userInfo().uid === 0 ? ["verify", "xattrs", "privileged-xattrs"] : ["verify", "xattrs"];
  };
}
