import type { Store } from "./store.ts";

/** A hub's store until the hub dies: at a write that is carried out, and of which it does not hear any more. */
export interface MortalStore {
  readonly store: Store;
  /** Objects and expected sets that it has written, or tried to. */
  writes(): number;
}

/** `diesAt`: the number of the last write; 0: it dies before the first. */
export function createMortalStore(store: Store, diesAt: number): MortalStore {
  let writes = 0;
  const never = () => new Promise<never>(() => undefined);
  const guard = <Verb extends (...args: never[]) => Promise<unknown>>(verb: Verb): Verb =>
    ((...args: never[]) => {
      writes++;
      if (writes > diesAt) return never();
      return writes === diesAt ? verb(...args).then(never) : verb(...args);
    }) as unknown as Verb;
  const { objects, expected } = store;
  return {
    writes: () => writes,
    store: {
      ...store,
      objects: { ...objects, put: guard(objects.put), delete: guard(objects.delete) },
      expected: { ...expected, replace: guard(expected.replace) },
    },
  };
}
