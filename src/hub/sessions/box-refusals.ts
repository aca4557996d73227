import { createHash } from "node:crypto";
import type { BoxRefusal, Session, SessionProgress } from "./session-record.ts";
import { workloadOf } from "./session-workload.ts";

/** Boxes that may refuse one form of a session before it stays where it is: what ten do not allow the others hardly will. */
export const MOST_TRIED = 10;

/** What its home has said of the form that it should run now. `undefined`: nothing yet. */
export interface HomeAnswer {
  readonly box: string;
  /** Of the agent's process that says so: `session` of its reports. */
  readonly run: string;
  /** Why it is refused. Absent: it is not. */
  readonly refusal: string | undefined;
}

/**
 * Pure. Which boxes have refused the session as it is meant now. What they refused of an earlier form counts no more; when an
 * agent was started anew, what it refused before counts no more for who chooses a box (`standingRefusals`).
 */
export function refusalsOf(
  session: Pick<Session, "wish" | "power">,
  held: SessionProgress["refusals"],
  answer: HomeAnswer | undefined,
): readonly BoxRefusal[] {
  const form = formOf(session);
  const valid = held.filter((one) => one.form === form);
  if (answer === undefined) return valid;
  const { box, run, refusal } = answer;
  const others = valid.filter((one) => one.box !== box);
  return refusal === undefined ? others : [...others, { box, reason: refusal, run, form }];
}

/** Pure. Boxes that need not be asked again, with the reason: the policy of an agent is read when it starts. */
export function standingRefusals(
  refusals: readonly BoxRefusal[],
  runOf: (boxId: string) => string | undefined,
): ReadonlyMap<string, string> {
  const standing = refusals.filter(({ box, run }) => runOf(box) === run);
  return new Map(standing.map(({ box, reason }) => [box, `it refused it: ${reason}`]));
}

/** All that a box judges; whether it is to be awake is no part of it. */
function formOf({ wish, power }: Pick<Session, "wish" | "power">): string {
  const { spec, resources } = workloadOf({ wish, power });
  return createHash("sha256")
    .update(JSON.stringify([spec, resources]))
    .digest("hex")
    .slice(0, 16);
}
