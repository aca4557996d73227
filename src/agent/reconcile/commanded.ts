import { isDeepStrictEqual } from "node:util";
import type { SessionCommand } from "../../contract/session-command.ts";
import { sessionWorkload } from "../../contract/session-workload.ts";
import type { SessionWorkload, Workload } from "../../contract/workload.ts";

/**
 * The sessions that a server has asked for by command, and what each command comes to. Pure.
 *
 * Invariants:
 * - of a session's commands the one with the highest generation counts, in whatever order they come;
 * - of two with one generation a stop counts, else the first;
 * - a session is in the server's set or in this one, never in both: the server's set wins.
 */
export interface CommandedState {
  readonly sessions: ReadonlyMap<string, CommandedSession>;
  /** Of sessions that are no more: up to this generation nothing begins. The oldest first. */
  readonly ended: ReadonlyMap<string, number>;
  /** What came of the last commands that changed something: an agent that was killed before it answered has an answer. */
  readonly outcomes: readonly CommandOutcome[];
}

export interface CommandedSession {
  /** Of the last command that counted. */
  readonly generation: number;
  readonly workload: SessionWorkload;
}

export interface CommandOutcome {
  readonly id: string;
  readonly text: string;
}

/** `text` begins with what came of it, in one word where that is all there is to say. */
export interface Decision {
  readonly state: CommandedState;
  readonly ok: boolean;
  readonly text: string;
}

export const NOTHING_COMMANDED: CommandedState = { sessions: new Map(), ended: new Map(), outcomes: [] };
export const COMMANDED_MAX = 500;
export const ENDED_KEPT = 2000;
export const OUTCOMES_KEPT = 100;

type Wish = Exclude<SessionCommand, { readonly name: "TouchSession" }>;

/** `commandId` is what an earlier delivery of the same command had too. `expected`: the server's set. */
export function decideWish(
  state: CommandedState,
  wish: Wish,
  { commandId, expected }: { readonly commandId: string; readonly expected: ReadonlyMap<string, Workload> },
): Decision {
  const id = wish.name === "StartSession" ? wish.spec.id : wish.id;
  if (expected.has(id)) {
    return refused(state, `conflict: the server's expected set names a workload ${id}, and what it says counts`);
  }
  const held = state.sessions.get(id);
  const known = held?.generation ?? state.ended.get(id) ?? 0;
  const { generation } = wish;
  if (generation < known) return refused(state, `older generation ${generation} than ${known}`);
  const change = wish.name === "StopSession" ? stop(state, id, wish) : put(state, id, wish);
  if ("text" in change && change.next === undefined) return { state, ok: change.ok, text: change.text };
  const outcomes = [...state.outcomes, { id: commandId, text: change.text }].slice(-OUTCOMES_KEPT);
  return { state: { ...state, ...change.next, outcomes }, ok: true, text: change.text };
}

interface Change {
  readonly ok: boolean;
  readonly text: string;
  /** Absent: nothing changes. */
  readonly next?: Pick<CommandedState, "sessions" | "ended">;
}

function stop(state: CommandedState, id: string, { generation }: Wish): Change {
  const isHeld = state.sessions.has(id);
  if (!isHeld && state.ended.get(id) === generation) return { ok: true, text: "already" };
  const sessions = new Map(state.sessions);
  sessions.delete(id);
  const next = { sessions, ended: withEnded(state.ended, id, generation) };
  return {
    ok: true,
    text: isHeld ? "stopped" : "stopped: it did not run, and nothing up to this generation starts it",
    next,
  };
}

function put(state: CommandedState, id: string, wish: Exclude<Wish, { readonly name: "StopSession" }>): Change {
  const held = state.sessions.get(id);
  const { generation } = wish;
  if (held === undefined && state.ended.get(id) === generation) {
    return { ok: false, text: `older generation ${generation}: it was stopped with the same one` };
  }
  const wanted = wantedBy(held, wish);
  if (wanted === undefined) return { ok: false, text: `unknown session: none ${id} was started by a command` };
  if (held !== undefined && held.generation === generation) {
    if (isSameWish(held.workload, wanted)) return { ok: true, text: "already" };
    return { ok: false, text: `conflict: generation ${generation} has asked for something else; give a higher one` };
  }
  if (held === undefined && state.sessions.size >= COMMANDED_MAX) {
    return { ok: false, text: `exhausted: ${COMMANDED_MAX} sessions are expected by command already` };
  }
  const ended = new Map(state.ended);
  ended.delete(id);
  const sessions = new Map(state.sessions).set(id, { generation, workload: wanted });
  return { ok: true, text: outcomeOf(wish, held?.workload, wanted), next: { sessions, ended } };
}

/** `undefined`: nothing says what it is. */
function wantedBy(
  held: CommandedSession | undefined,
  wish: Exclude<Wish, { readonly name: "StopSession" }>,
): SessionWorkload | undefined {
  const turn = wish.generation;
  if (wish.name === "StartSession") return sessionWorkload(wish.spec, { power: { state: "running", turn } });
  if (held === undefined) return undefined;
  return { ...held.workload, power: { state: wish.name === "WakeSession" ? "running" : "hibernated", turn } };
}

function outcomeOf(wish: Wish, before: SessionWorkload | undefined, after: SessionWorkload): string {
  if (before === undefined) return "started";
  // A session that fell asleep by itself is woken by a later turn, whatever was asked of it before.
  if (wish.name === "WakeSession") return "woken";
  if (before.power?.state === "hibernated" && wish.name === "StartSession") return "woken";
  if (!isSameButTurn(before, after)) return wish.name === "HibernateSession" ? "hibernated" : "changed";
  return "already";
}

function isSameButTurn(one: SessionWorkload, other: SessionWorkload): boolean {
  return one.power?.state === other.power?.state && isDeepStrictEqual({ ...one, power: 0 }, { ...other, power: 0 });
}

/** The same settings and the same turn. */
function isSameWish(one: SessionWorkload, other: SessionWorkload): boolean {
  return isDeepStrictEqual(one, other);
}

/** The server's set has come to name some of them: it looks after them from now on. The same state when it names none. */
export function yieldTo(state: CommandedState, expected: ReadonlyMap<string, Workload>): CommandedState {
  const taken = [...state.sessions].filter(([id]) => expected.has(id));
  if (taken.length === 0) return state;
  const sessions = new Map(state.sessions);
  let { ended } = state;
  for (const [id, { generation }] of taken) {
    sessions.delete(id);
    ended = withEnded(ended, id, generation);
  }
  return { ...state, sessions, ended };
}

/** After a reboot that expects nothing any more: the server says anew what it wants, and may say it in the same words. */
export function clearSessions(state: CommandedState): CommandedState {
  let { ended } = state;
  for (const [id, { generation }] of state.sessions) ended = withEnded(ended, id, generation - 1);
  return { ...state, sessions: new Map(), ended };
}

/** The server's set and what was asked for by command, as one. */
export function mergeCommanded(
  expected: ReadonlyMap<string, Workload>,
  { sessions }: CommandedState,
): ReadonlyMap<string, Workload> {
  if (sessions.size === 0) return expected;
  const merged = new Map(expected);
  for (const [id, { workload }] of sessions) if (!merged.has(id)) merged.set(id, workload);
  return merged;
}

function withEnded(ended: ReadonlyMap<string, number>, id: string, generation: number): ReadonlyMap<string, number> {
  const next = new Map(ended);
  next.delete(id);
  next.set(id, generation);
  return new Map([...next].slice(-ENDED_KEPT));
}

function refused(state: CommandedState, text: string): Decision {
  return { state, ok: false, text };
}
