import type { Workload } from "../../contract/workload.ts";
import type { Claim, Refusal } from "../workload/driver.ts";
import type { EngineDeps } from "./engine-deps.ts";
import type { ExpectedWorkload } from "./observed.ts";

export interface Judgement {
  readonly expected: ReadonlyMap<string, ExpectedWorkload>;
  readonly refusals: ReadonlyMap<string, Refusal>;
}

/** Says what the plan must know of each expected workload, and why some are not run. */
export interface Judge {
  judge(workloads: ReadonlyMap<string, Workload>): Judgement;
  /** What goes by this key has shown that it serves one at a time. Remembered for as long as the agent lives. */
  learn(key: string): void;
}

const REMEMBERED = 10_000;

/**
 * An admitted workload is judged once: it is never changed in place. A refused one is judged again in each lap, because
 * what refused it may have been mended.
 */
export function createJudge(deps: Pick<EngineDeps, "driverOf" | "awaits" | "rests" | "clock">): Judge {
  const admitted = new WeakMap<Workload, Admitted>();
  /** Keys of what serves one at a time, although nobody said so. */
  const shown = new Set<string>();

  const judgeOne = (workload: Workload): Admitted | Refusal => {
    const driver = deps.driverOf(workload.kind);
    const endsAtWallMs = driver?.endsAtWallMs?.(workload);
    if (endsAtWallMs !== undefined && endsAtWallMs <= deps.clock.wallMs()) {
      return { rule: "endsAt", message: `its lifetime ended at ${new Date(endsAtWallMs).toISOString()}` };
    }
    const known = admitted.get(workload);
    if (known !== undefined) return known;
    if (driver === undefined) return { rule: "kind", message: `this box cannot run a ${workload.kind}` };
    const refusal = driver.admit(workload);
    if (refusal !== undefined) return refusal;
    const judged = {
      specHash: driver.specHash(workload),
      mayOverlap: driver.mayOverlap(workload),
      all: driver.claims(workload),
    };
    admitted.set(workload, judged);
    return judged;
  };

  return {
    judge: (workloads) => {
      const expected = new Map<string, ExpectedWorkload>();
      const refusals = new Map<string, Refusal>();
      for (const [id, workload] of workloads) {
        const judged = judgeOne(workload);
        if ("rule" in judged) {
          refusals.set(id, judged);
          expected.set(id, { specHash: "", isRefused: true });
        } else {
          const { specHash, mayOverlap, all } = judged;
          const claims = all.filter(({ key, isExclusive }) => isExclusive || shown.has(key));
          const awaits = deps.awaits(workload);
          const rest = deps.rests(workload);
          expected.set(id, {
            specHash,
            isRefused: false,
            claims,
            mayOverlap,
            ...(awaits === undefined ? {} : { awaits }),
            ...(rest === undefined ? {} : { rest }),
          });
        }
      }
      return { expected, refusals };
    },
    learn: (key) => {
      if (shown.size < REMEMBERED) shown.add(key);
    },
  };
}

interface Admitted {
  readonly specHash: string;
  readonly mayOverlap: boolean;
  readonly all: readonly Claim[];
}
