import type { Durability, Outcome, Wake } from "../engine.ts";

/** What carries verbs out. Every function is synchronous, so that nothing else comes between. */
export interface CommitSteps {
  begin(durability: Durability): void;
  write(outcome: Outcome<unknown>): void;
  commit(): void;
  /** Undoes what is open, if anything is. */
  rollback(): void;
  wake(wakes: readonly Wake[]): void;
  /** What a verb's failure is to its caller. */
  errorOf(thrown: unknown): unknown;
}

export interface GroupCommit {
  submit<Answer>(decide: () => Outcome<Answer>): Promise<Answer>;
  /** Carries out all that waits, now. */
  flush(): void;
}

/** Bounds how long the event loop is kept from anything else. */
const VERBS_AT_ONCE = 64;

/**
 * Verbs that are asked for in one turn of the event loop share one transaction and one `fsync`. Each decides on what the
 * one before it has written, as if it had come after it; nobody is answered before the commit, nor refused on the strength
 * of what is not durable yet. Where a transaction fails, its verbs are carried out one by one, each deciding again: so one
 * that cannot be written takes no other with it.
 */
export function createGroupCommit(steps: CommitSteps): GroupCommit {
  const waiting: Verb[] = [];
  let isScheduled = false;

  const alone = (verb: Verb) => {
    try {
      const outcome = verb.decide();
      if (isWrite(outcome)) {
        steps.begin(outcome.durability ?? "durable");
        steps.write(outcome);
        steps.commit();
      }
      steps.wake(outcome.wakes ?? []);
      verb.resolve(outcome.answer);
    } catch (thrown) {
      steps.rollback();
      verb.reject(steps.errorOf(thrown));
    }
  };

  /** Verbs in a row; a relaxed one is carried by what is durable before it, and holds nothing durable up behind it. */
  const together = (verbs: readonly Verb[]): readonly Verb[] => {
    const told: (() => void)[] = [];
    const wakes: Wake[] = [];
    let open: Durability | undefined;
    let done = 0;
    for (const verb of verbs) {
      let outcome: Outcome<unknown>;
      try {
        outcome = verb.decide();
      } catch (thrown) {
        told.push(() => verb.reject(steps.errorOf(thrown)));
        done++;
        continue;
      }
      if (isWrite(outcome)) {
        const durability = outcome.durability ?? "durable";
        if (open === "relaxed" && durability === "durable") break;
        if (open === undefined) steps.begin(durability);
        open ??= durability;
        steps.write(outcome);
      }
      wakes.push(...(outcome.wakes ?? []));
      told.push(() => verb.resolve(outcome.answer));
      done++;
    }
    if (open !== undefined) steps.commit();
    steps.wake(wakes);
    for (const tell of told) tell();
    return verbs.slice(done);
  };

  const carryOut = (verbs: readonly Verb[]) => {
    for (let left = verbs; left.length > 0; ) {
      try {
        left = together(left);
      } catch {
        steps.rollback();
        for (const verb of left) alone(verb);
        return;
      }
    }
  };

  const schedule = () => {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(() => {
      isScheduled = false;
      carryOut(waiting.splice(0, VERBS_AT_ONCE));
      if (waiting.length > 0) schedule();
    });
  };

  return {
    submit: <Answer>(decide: () => Outcome<Answer>) =>
      new Promise<Answer>((resolve, reject) => {
        waiting.push({ decide, resolve: (answer) => resolve(answer as Answer), reject });
        schedule();
      }),
    flush: () => carryOut(waiting.splice(0)),
  };
}

interface Verb {
  readonly decide: () => Outcome<unknown>;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

function isWrite(outcome: Outcome<unknown>): boolean {
  return [outcome.puts, outcome.deletes, outcome.drops, outcome.appends].some((writes) => (writes?.length ?? 0) > 0);
}
