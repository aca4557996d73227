import type { Clock } from "../../base/clock.ts";
import type { Redactor, Secrets } from "../../base/redact.ts";
import type { Service } from "../../base/service.ts";

/**
 * What the redactor knows of workloads. It learns before anything can be logged, and forgets what neither is expected nor was at
 * hand when a process that still runs was launched, a good while after that: by then no output of that process is to come.
 * So it holds what is in use and what was in use lately, however often keys change.
 */
export interface SecretKeeper extends Service {
  /** These are expected now. */
  learn(id: string, secrets: Secrets): void;
}

/** A process of a workload, as far as its secrets go. */
export interface SecretHolder {
  readonly id: string;
  /** Monotonic; `undefined`: it is being launched, with settings of now or of before. */
  readonly launchedAtMs: number | undefined;
}

export interface SecretKeeperDeps {
  readonly clock: Clock;
  readonly redactor: Pick<Redactor, "learn">;
  readonly isExpected: (id: string) => boolean;
  readonly holders: () => readonly SecretHolder[];
}

const PERIOD_MS = 30_000;
/** From the end of use. A process's last output is read when it ends, at once; this is for a disk or a machine that hangs. */
export const FORGET_AFTER_MS = 600_000;
/** Beyond so many that nobody uses, the oldest of them go sooner. */
export const UNUSED_KEPT = 2000;
export const FORGET_SOONEST_MS = 60_000;
/** Between the reading of the settings and the launch with them. */
const LAUNCH_MS = 60_000;

interface Known {
  readonly text: string;
  readonly forget: () => void;
  /** Monotonic; when others took their place. */
  supersededAtMs: number | undefined;
  /** Monotonic; since when nothing uses them. */
  unusedSinceMs: number | undefined;
}

export function createSecretKeeper(deps: SecretKeeperDeps): SecretKeeper {
  const { clock, redactor } = deps;
  /** Of each workload, the last ones expected last. */
  const known = new Map<string, Known[]>();

  const sweep = () => {
    const nowMs = clock.monotonicMs();
    const holders = Map.groupBy(deps.holders(), ({ id }) => id);
    const unused: { readonly id: string; readonly one: Known; readonly sinceMs: number }[] = [];
    for (const [id, sets] of known) {
      const isExpected = deps.isExpected(id);
      for (const one of sets) {
        const isUsed = isInUse(one, { isExpected, holders: holders.get(id) ?? [] });
        one.unusedSinceMs = isUsed ? undefined : (one.unusedSinceMs ?? nowMs);
        if (one.unusedSinceMs !== undefined) unused.push({ id, one, sinceMs: one.unusedSinceMs });
      }
    }
    unused.sort((left, right) => left.sinceMs - right.sinceMs);
    for (const [index, { id, one, sinceMs }] of unused.entries()) {
      const isOneTooMany = unused.length - index > UNUSED_KEPT;
      if (nowMs - sinceMs < (isOneTooMany ? FORGET_SOONEST_MS : FORGET_AFTER_MS)) continue;
      one.forget();
      const left = (known.get(id) ?? []).filter((other) => other !== one);
      if (left.length === 0) known.delete(id);
      else known.set(id, left);
    }
  };

  return {
    name: "secrets",
    learn: (id, secrets) => {
      const text = JSON.stringify(secrets);
      const sets = known.get(id) ?? [];
      const last = sets.at(-1);
      if (last?.text === text) {
        last.supersededAtMs = undefined;
        return;
      }
      if (last !== undefined) last.supersededAtMs = clock.monotonicMs();
      known.set(id, [
        ...sets,
        { text, forget: redactor.learn(secrets), supersededAtMs: undefined, unusedSinceMs: undefined },
      ]);
    },
    run: async (signal) => {
      while (!signal.aborted) {
        await clock.delay(PERIOD_MS, signal).catch(() => undefined);
        if (!signal.aborted) sweep();
      }
    },
  };
}

/** Pure. */
function isInUse(
  { supersededAtMs }: Pick<Known, "supersededAtMs">,
  { isExpected, holders }: { readonly isExpected: boolean; readonly holders: readonly SecretHolder[] },
): boolean {
  if (supersededAtMs === undefined) return isExpected || holders.length > 0;
  return holders.some(({ launchedAtMs }) => launchedAtMs === undefined || launchedAtMs < supersededAtMs + LAUNCH_MS);
}
