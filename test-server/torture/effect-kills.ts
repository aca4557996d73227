import { mkdtempSync, realpathSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../../src/base/errors.ts";
import { type LifeDeps, liveOnce, NEVER } from "./one-life.ts";
import { makeStandIn } from "./stand-in.ts";

export interface EffectKillDeps extends LifeDeps {
  readonly say: (line: string) => void;
}

export interface EffectKillSummary {
  /** Effects of a life that nobody cuts short. */
  readonly boundaries: number;
  /** Lives that ended at the boundary asked for; the others ended by themselves before it came. */
  readonly killed: number;
  readonly longestRecoveryMs: number;
  readonly failures: readonly string[];
}

/** Lives at one time: each mostly waits. */
const WORKERS = 4;
/** A life differs a little from the next: beyond the last boundary of one there may be more in another. */
const MARGIN = 10;

/**
 * An agent starts streams, changes one, starts one again after its death, stops one, and ends. This life is lived again and
 * again, cut short by SIGKILL before its first effect on the world, its second, and so on to its last; each time a fresh
 * agent must find its way. With `every` 3 it is cut short before the first, the fourth, the seventh effect and so on.
 */
export async function killAtEveryEffect(every: number, deps: EffectKillDeps): Promise<EffectKillSummary> {
  const { say, signal } = deps;
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "sluice-effects-")));
  try {
    const ffmpegPath = makeStandIn(directory, "exec sleep 100000");
    const live = (dieAt: number) => liveOnce({ dieAt, home: join(directory, `life-${dieAt}`), ffmpegPath }, deps);
    const whole = await live(NEVER);
    say(`a whole life has ${whole.effects} effects`);
    const failures: string[] = [];
    let killed = 0;
    let longestRecoveryMs = 0;
    let next = 1;
    const take = () => {
      const taken = next;
      next += every;
      return taken;
    };
    const work = async () => {
      for (let dieAt = take(); dieAt <= whole.effects + MARGIN; dieAt = take()) {
        signal.throwIfAborted();
        try {
          const life = await live(dieAt);
          if (life.wasKilled) killed++;
          longestRecoveryMs = Math.max(longestRecoveryMs, life.recoveryMs);
        } catch (thrown) {
          if (signal.aborted) throw thrown;
          failures.push(`killed before effect ${dieAt}: ${messageOf(thrown)}`);
          say(`FAILED: ${failures.at(-1)}`);
        }
      }
    };
    await Promise.all(Array.from({ length: WORKERS }, work));
    return { boundaries: whole.effects, killed, longestRecoveryMs: Math.round(longestRecoveryMs), failures };
  } finally {
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}
