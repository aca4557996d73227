import type { Store } from "./store.ts";

/** The store as one hub sees it that dies at a write. */
export interface MortalStore {
  readonly store: Store;
  /** Writes that the hub has begun, the fatal one and those after it included. */
  writes(): number;
}

/** The write with the number `diesAt` reaches the store, and the hub never hears of it; nothing after it does. `0`: none at all. */
export function createMortalStore(shared: Store, diesAt: number): MortalStore {
  let writes = 0;
  const never = () => new Promise<never>(() => undefined);
  const guard = <Verb extends (...args: never[]) => Promise<unknown>>(verb: Verb): Verb =>
    ((...args: never[]) => {
      writes++;
      if (writes > diesAt) return never();
      return writes === diesAt ? verb(...args).then(never) : verb(...args);
    }) as unknown as Verb;
  const { objects, expected } = shared;
  return {
    store: {
      ...shared,
      objects: { ...objects, put: guard(objects.put), delete: guard(objects.delete) },
      expected: { ...expected, replace: guard(expected.replace) },
    },
    writes: () => writes,
  };
}
