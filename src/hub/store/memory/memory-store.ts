import { createStore, type StoreDeps } from "../create-store.ts";
import type { Store } from "../store.ts";
import { createMemoryEngine } from "./memory-engine.ts";

/** Everything in this process, and gone with it: for trying Sluice out and for tests. One hub only. */
export function createMemoryStore(deps: StoreDeps): Store {
  return createStore(createMemoryEngine(), deps);
}
