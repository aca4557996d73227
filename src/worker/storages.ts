import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { WorkerStorage } from "../contract/transfer/worker-heartbeat.ts";
import { openStorage, requireMounted, type Storage, type StorageOptions } from "./storage.ts";

/** The storages of this worker that are there. */
export interface Storages {
  of(id: string): Storage | undefined;
  views(): readonly WorkerStorage[];
  /** One that was away may be back, and another may be where it was. */
  reopen(): void;
  close(): void;
}

export function createStorages(options: readonly StorageOptions[], log: Log): Storages {
  const open = new Map<string, Storage>();
  const gone: Storage[] = [];
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
  const reopen = () => {
    for (const one of options) {
      const { path } = one;
      try {
        const held = open.get(path);
        if (held !== undefined) {
          requireMounted(held);
          continue;
        }
        const storage = openStorage(one);
        const twin = [...open.values()].find(({ id }) => id === storage.id);
        if (twin !== undefined) {
          storage.close();
          say(path, `it has the identity of ${twin.path} (${storage.id}): it is the same storage, or a copy of it`);
          continue;
        }
        open.set(path, storage);
        say(path, undefined);
      } catch (thrown) {
        // What is under way may hold its root: the number must not become another file's.
        const held = open.get(path);
        if (held !== undefined) gone.push(held);
        open.delete(path);
        say(path, messageOf(thrown));
      }
    }
  };
  reopen();
  return {
    of: (id) => [...open.values()].find((storage) => storage.id === id),
    views: () =>
      [...open.values()].flatMap((storage) => {
        try {
          return [storage.view()];
        } catch {
          return [];
        }
      }),
    reopen,
    close: () => {
      for (const storage of [...open.values(), ...gone.splice(0)]) storage.close();
      open.clear();
    },
  };
}
