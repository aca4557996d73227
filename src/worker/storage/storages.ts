import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { WorkerStorage } from "../../contract/transfer/worker-heartbeat.ts";
import { toFault } from "../fault.ts";
import { openStorage, requireMounted, type Storage, type StorageOptions } from "./storage.ts";

/** The storages of this worker that are there. */
export interface Storages {
  of(id: string): Storage | undefined;
  /** For one piece of work: what it asks for stays open until its end. */
  borrow(): { readonly of: (id: string) => Storage | undefined; readonly giveBack: () => void };
  /** What is known of each now; asked for at each heartbeat. One that nobody has held for a while is let go of in between. */
  views(): readonly WorkerStorage[];
  /** Those that are not there, and why. */
  problems(): readonly { readonly path: string; readonly problem: string }[];
  /** One that was away may be back, and another may be where it was. */
  reopen(): void;
  close(): void;
}

const REST_MS = 60_000;
const MAX_PROBLEM = 1000;

export function createStorages(
  options: readonly StorageOptions[],
  { log, clock }: { readonly log: Log; readonly clock: Pick<Clock, "monotonicMs"> },
): Storages {
  const open = new Map<string, Storage>();
  const gone: Storage[] = [];
  /** By path, of what was there before. */
  const before = new Map<string, Storage>();
  const usedMs = new Map<Storage, number>();
  const problems = new Map<string, string>();

  const say = (path: string, problem: string | undefined) => {
    if (problems.get(path) === problem) return;
    if (problem === undefined) {
      problems.delete(path);
      log.info(`Storage ${path} is there`);
    } else {
      problems.set(path, problem);
      log.error(`Storage ${path} cannot be used: ${problem}. Attempts go on`);
    }
  };
  const find = (id: string) => [...open.values()].find((storage) => storage.id === id);
  const isIdle = (storage: Storage) => {
    const nowMs = clock.monotonicMs();
    if (storage.isHeld()) usedMs.set(storage, nowMs);
    return nowMs - (usedMs.get(storage) ?? nowMs) >= REST_MS;
  };
  const forgetGone = () => {
    for (const storage of gone.splice(0)) {
      if (storage.isHeld()) gone.push(storage);
      else {
        usedMs.delete(storage);
        storage.rest();
      }
    }
  };
  const reopen = () => {
    forgetGone();
    for (const one of options) {
      const { path } = one;
      try {
        const held = open.get(path);
        if (held !== undefined) {
          requireMounted(held);
          continue;
        }
        const storage = openStorage(one, before.get(path));
        const twin = [...open.values()].find(({ id }) => id === storage.id);
        if (twin !== undefined) {
          storage.close();
          say(path, `it has the identity of ${twin.path} (${storage.id}): it is the same storage, or a copy of it`);
          continue;
        }
        open.set(path, storage);
        before.set(path, storage);
        usedMs.set(storage, clock.monotonicMs());
        say(path, undefined);
      } catch (thrown) {
        // What is under way may hold its root: the number must not become another file's before its end.
        const held = open.get(path);
        if (held !== undefined) gone.push(held);
        open.delete(path);
        // Without what it was called by, which differs each time: the same is said once.
        say(path, toFault(thrown).message);
      }
    }
  };
  reopen();
  return {
    of: find,
    borrow: () => {
      const held = new Map<Storage, () => void>();
      return {
        of: (id) => {
          const storage = find(id);
          if (storage !== undefined && !held.has(storage)) held.set(storage, storage.hold());
          return storage;
        },
        giveBack: () => {
          for (const letGo of held.values()) letGo();
          held.clear();
        },
      };
    },
    views: () =>
      [...open.values()].flatMap((storage) => {
        try {
          return [storage.view()];
        } catch {
          return [];
        } finally {
          if (isIdle(storage)) storage.rest();
        }
      }),
    problems: () => [...problems].map(([path, problem]) => ({ path, problem: problem.slice(0, MAX_PROBLEM) })),
    reopen,
    close: () => {
      for (const storage of [...open.values(), ...gone.splice(0)]) storage.close();
      open.clear();
    },
  };
}
