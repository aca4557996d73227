import { readFile } from "node:fs/promises";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { StoreOptions } from "../config/hub-options.ts";
import type { Store } from "./store/store.ts";

export interface OpenStoreDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly newId: () => string;
}

/** The store that the options name. A store's code is read when it is the one that is used. */
export async function openStore(options: StoreOptions, deps: OpenStoreDeps): Promise<Store> {
  if (options.kind === "memory") {
    const { createMemoryStore } = await import("./store/memory/memory-store.ts");
    return createMemoryStore(deps);
  }
  if (options.kind === "sqlite") {
    const { createSqliteStore } = await import("./store/sqlite/sqlite-store.ts");
    return createSqliteStore({ path: options.path }, deps);
  }
  const { createRedisStore } = await import("./store/redis/redis-store.ts");
  const { DEFAULT_REDIS_OPTIONS } = await import("./store/redis/redis-options.ts");
  const { host, port, username, database, prefix, replicas } = options;
  const password = (await readSecret("store.passwordFile", options.passwordFile))?.trim() ?? options.password;
  const ca = await readSecret("store.caFile", options.caFile);
  const tls = options.tls ? { ca, serverName: options.sentinel === undefined ? host : undefined } : undefined;
  const sentinel = options.sentinel === undefined ? undefined : { ...options.sentinel, tls: options.tls };
  return createRedisStore(
    { ...DEFAULT_REDIS_OPTIONS, host, port, username, password, database, prefix, replicas, tls, sentinel },
    deps,
  );
}

async function readSecret(key: string, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    throw new AppError("config", `${key}: ${path} cannot be read: ${messageOf(thrown)}`, { field: key, cause: thrown });
  }
}
