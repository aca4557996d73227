import { createStore } from "../create-store.ts";
import type { Store } from "../store.ts";
import { createRedisEngine, type RedisEngineDeps } from "./redis-engine.ts";
import type { RedisOptions } from "./redis-options.ts";

/**
 * For any number of hubs. It does not wait for Redis: verbs reject with `store-unavailable` until it is there, and go on
 * by themselves when it is back. What is acknowledged is as durable as Redis is told to be: `appendonly yes` with
 * `appendfsync always` takes nothing back; `everysec` may take back the last second when its machine dies.
 */
export function createRedisStore(options: RedisOptions, deps: RedisEngineDeps): Store {
  return createStore(createRedisEngine(options, deps), { newId: deps.newId });
}
