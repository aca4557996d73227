import { AppError } from "../../../base/errors.ts";
import type { EngineClient } from "../engine-api/engine-client.ts";
import { type ContainerExit, type ContainerFacts, isLive, toContainerFacts } from "./container-facts.ts";

/** Knows what the engine last said of each container that is looked after. */
export interface ContainerWatch {
  /** From now on. The same for one that is watched already. */
  watch(facts: ContainerFacts): WatchedContainer;
  /** Asks the engine about one container, watched or not. Undefined: there is none. Rejects when it cannot be asked. */
  look(idOrName: string, limitMs?: number): Promise<ContainerFacts | undefined>;
  /** Asks about every watched one. Rejects when one of them could not be asked about. */
  lookAll(): Promise<void>;
  isWatched(id: string): boolean;
}

export interface WatchedContainer {
  facts(): ContainerFacts;
  /** Settles when the engine says that it has ended or that there is no such container, and for nothing else. */
  readonly gone: Promise<ContainerExit>;
}

interface Entry {
  facts: ContainerFacts;
  readonly settle: (exit: ContainerExit) => void;
  readonly watched: WatchedContainer;
}

const LOOK_LIMIT_MS = 5000;

export function createContainerWatch(
  options: { readonly stateDir: string },
  client: Pick<EngineClient, "inspect">,
): ContainerWatch {
  const entries = new Map<string, Entry>();

  const learn = (entry: Entry, facts: ContainerFacts) => {
    entry.facts = facts;
    if (isLive(facts)) return;
    entries.delete(facts.id);
    entry.settle(facts.exit);
  };
  const look = async (idOrName: string, limitMs = LOOK_LIMIT_MS): Promise<ContainerFacts | undefined> => {
    const details = await client.inspect(idOrName, limitMs);
    if (details === undefined) {
      const lost = entries.get(idOrName);
      entries.delete(idOrName);
      lost?.settle({ code: null, signal: null, reason: "removed" });
      return undefined;
    }
    const facts = toContainerFacts(details, options.stateDir);
    const entry = entries.get(facts.id);
    if (entry !== undefined) learn(entry, facts);
    return facts;
  };

  return {
    look,
    watch: (facts) => {
      const known = entries.get(facts.id);
      if (known !== undefined) return known.watched;
      const { promise, resolve } = Promise.withResolvers<ContainerExit>();
      const entry: Entry = { facts, settle: resolve, watched: { facts: () => entry.facts, gone: promise } };
      entries.set(facts.id, entry);
      learn(entry, facts);
      return entry.watched;
    },
    lookAll: async () => {
      const looks = await Promise.allSettled([...entries.keys()].map((id) => look(id)));
      const failed = looks.find(({ status }) => status === "rejected");
      if (failed?.status === "rejected") {
        throw failed.reason instanceof AppError ? failed.reason : new AppError("unavailable", String(failed.reason));
      }
    },
    isWatched: (id) => entries.has(id),
  };
}
