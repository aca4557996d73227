import type { SessionCommand } from "../../contract/session-command.ts";
import type { SessionWorkload, Workload } from "../../contract/workload.ts";
import type { CommandedFile } from "../registry/commanded-file.ts";
import type { Refusal } from "../workload/driver.ts";
import { type CommandedState, clearSessions, decideWish, mergeCommanded, yieldTo } from "./commanded.ts";
import type { ExpectedStore } from "./expected-store.ts";

export interface CommandedStoreDeps {
  readonly file: CommandedFile;
  /** The server's set. */
  readonly expected: Pick<ExpectedStore, "state" | "endUnclaimed">;
  /** Why this box does not run it. */
  readonly admit: (workload: Workload) => Refusal | undefined;
  /** Workloads that became part of the set; called before anything can be logged about them. */
  readonly onPut: (workloads: Iterable<Workload>) => void;
  /** This session is about to be expected no more, with these volumes. */
  readonly onFarewell: (workload: SessionWorkload) => void;
  readonly onChange: () => void;
}

type StopWish = Extract<SessionCommand, { readonly name: "StopSession" }>;

export interface CommandAnswer {
  readonly ok: boolean;
  readonly text: string;
}

/** What was asked for by command, beside the server's set. */
export interface CommandedStore {
  state(): CommandedState;
  /** The server's set and this one, as one. The same object for as long as neither changes. */
  merged(): ReadonlyMap<string, Workload>;
  /** Resolves with what came of it, once that is stored. The reconciler is woken before the disk has answered. */
  take(wish: Exclude<SessionCommand, { readonly name: "TouchSession" }>, commandId: string): Promise<CommandAnswer>;
  /** What came of a command of an earlier agent that ended before it could answer. `undefined`: nothing. */
  outcomeOf(commandId: string): string | undefined;
  /** The server's set has changed. */
  expectedChanged(): void;
}

export function createCommandedStore(
  /** Start from an empty set, whatever the file says. */
  options: { readonly isCleared: boolean },
  deps: CommandedStoreDeps,
): CommandedStore {
  const { file, expected } = deps;
  let state = file.loaded;
  let merged: { readonly of: readonly unknown[]; readonly workloads: ReadonlyMap<string, Workload> } | undefined;

  const become = (next: CommandedState) => {
    const before = state;
    state = next;
    const put = [...next.sessions.values()].map(({ workload }) => workload);
    deps.onPut(put.filter((workload) => before.sessions.get(workload.id)?.workload !== workload));
    file.save(next);
  };

  /** Before it is expected no more, for then nobody knows it. */
  const noteFarewell = ({ volumes: onStop }: StopWish, workload: Workload | undefined) => {
    if (onStop === undefined || workload?.kind !== "session") return;
    const volumes = workload.spec.volumes?.map((volume) => ({ ...volume, onStop }));
    deps.onFarewell({ ...workload, spec: { ...workload.spec, ...(volumes === undefined ? {} : { volumes }) } });
  };

  if (options.isCleared && state.sessions.size > 0) become(clearSessions(state));
  else deps.onPut([...state.sessions.values()].map(({ workload }) => workload));

  const expectedChanged = () => {
    const next = yieldTo(state, expected.state().workloads);
    if (next !== state) become(next);
  };
  expectedChanged();

  return {
    state: () => state,
    merged: () => {
      const { workloads } = expected.state();
      if (merged?.of[0] !== workloads || merged.of[1] !== state) {
        merged = { of: [workloads, state], workloads: mergeCommanded(workloads, state) };
      }
      return merged.workloads;
    },
    take: async (wish, commandId) => {
      if (wish.name === "StopSession" && expected.state().sessions.unclaimed.has(wish.id)) {
        noteFarewell(wish, expected.state().workloads.get(wish.id));
      }
      const wasKept = wish.name === "StopSession" && (await expected.endUnclaimed(wish.id));
      const decision = decideWish(state, wish, { commandId, expected: expected.state().workloads });
      const answer = wasKept ? { ok: true, text: "stopped: it was kept for a hub that did not know it" } : decision;
      if (decision.state === state) return answer;
      const id = wish.name === "StartSession" ? wish.spec.id : wish.id;
      const workload = decision.state.sessions.get(id)?.workload;
      const refusal = workload === undefined ? undefined : deps.admit(workload);
      if (refusal !== undefined) return { ok: false, text: `refused by ${refusal.rule}: ${refusal.message}` };
      if (wish.name === "StopSession") noteFarewell(wish, state.sessions.get(id)?.workload);
      become(decision.state);
      deps.onChange();
      await file.commit();
      return answer;
    },
    outcomeOf: (commandId) => state.outcomes.find(({ id }) => id === commandId)?.text,
    expectedChanged,
  };
}

/** The server's store, and the set with what was asked for by command. */
export function withCommanded(server: ExpectedStore, commanded: Pick<CommandedStore, "merged">): ExpectedStore {
  return { ...server, state: () => ({ ...server.state(), workloads: commanded.merged() }) };
}
