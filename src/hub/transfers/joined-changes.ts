import { createTurns } from "../../base/turns.ts";
import type { Durability } from "../store/engine.ts";

/** Changes of one document, each decided on what the one before it leaves. Carried out again it decides anew. */
export type DecideAll<State> = (state: State) => State;

export interface Change<State, Answer> {
  /** Pure. What is written, and what is answered once it is. The same state: nothing is written for it. */
  readonly decide: (state: State) => { readonly state: State; readonly answer: Answer };
  /** Not on the strength of what is held. */
  readonly isFresh: boolean;
  readonly durability: Durability;
}

/** What a write has to keep to: the strictest of all changes that are written together. */
export type WriteTerms = Pick<Change<never, never>, "isFresh" | "durability">;

/**
 * Those that come while the document is written are written together, by the next: however many wait, none waits for more than two
 * writes. Nobody is answered before what was decided for all of them is written; where that fails, all are told.
 */
export type JoinChange<State> = <Answer>(
  id: string,
  change: Change<State, Answer>,
  write: (decideAll: DecideAll<State>, terms: WriteTerms) => Promise<void>,
) => Promise<Answer>;

interface Waiting<State> extends WriteTerms {
  /** Gives the next state, and holds what is then to be told. */
  readonly decide: (state: State) => { readonly state: State; readonly tell: () => void };
  readonly reject: (reason: unknown) => void;
}

export function createJoinedChanges<State>(): JoinChange<State> {
  const inTurn = createTurns();
  const waiting = new Map<string, Waiting<State>[]>();

  return (id, { decide, isFresh, durability }, write) =>
    new Promise((resolve, reject) => {
      const mine: Waiting<State> = {
        isFresh,
        durability,
        reject,
        decide: (before) => {
          try {
            const { state, answer } = decide(before);
            return { state, tell: () => resolve(answer) };
          } catch (thrown) {
            // It takes no other with it.
            return { state: before, tell: () => reject(thrown) };
          }
        },
      };
      const others = waiting.get(id);
      if (others !== undefined) return void others.push(mine);
      const all = [mine];
      waiting.set(id, all);
      void inTurn(id, async () => {
        waiting.delete(id);
        let tells: readonly (() => void)[] = [];
        const decideAll: DecideAll<State> = (begin) => {
          let state = begin;
          tells = all.map((one) => {
            const decided = one.decide(state);
            state = decided.state;
            return decided.tell;
          });
          return state;
        };
        try {
          await write(decideAll, {
            isFresh: all.some((one) => one.isFresh),
            durability: all.every((one) => one.durability === "relaxed") ? "relaxed" : "durable",
          });
          for (const tell of tells) tell();
        } catch (thrown) {
          for (const one of all) one.reject(thrown);
        }
      });
    });
}
