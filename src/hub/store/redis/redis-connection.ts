import { once } from "node:events";
import { type RedisOptions as ClientOptions, Redis } from "ioredis";
import { fullJitterMs } from "../../../base/backoff.ts";
import type { Clock } from "../../../base/clock.ts";
import { messageOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { Random } from "../../../base/random.ts";
import { storeUnavailable } from "../store-error.ts";
import type { RedisOptions, RedisTls } from "./redis-options.ts";
import type { Script } from "./redis-scripts.ts";

export interface RedisDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * One connection that is always being looked for. Nothing is queued for a Redis that is away and nothing is sent again by
 * itself: whether a command is repeated is the verb's decision. Every call ends within `commandTimeoutMs`.
 */
export interface RedisConnection {
  call(command: string, ...args: readonly (string | number)[]): Promise<unknown>;
  run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>;
  close(): Promise<void>;
}

const RECONNECT = { baseMs: 100, maxMs: 2000 };
/** A socket that is silent for this much longer than a command may be is dead, and is given up. */
const SILENCE_EXTRA_MS = 500;

export function createRedisConnection(options: RedisOptions, deps: RedisDeps): RedisConnection {
  const client = openClient(options, deps);
  const { commandTimeoutMs } = options;
  let isClosed = false;

  const ready = async () => {
    if (isClosed) throw storeUnavailable("the store is closed");
    if (client.status === "ready") return;
    const waiting = new AbortController();
    const timer = deps.clock.timer(commandTimeoutMs / 2, () => waiting.abort());
    try {
      await once(client, "ready", { signal: waiting.signal });
    } catch (thrown) {
      throw storeUnavailable(`Redis at ${placeOf(options)} does not answer`, lastError(client) ?? thrown);
    } finally {
      timer.clear();
    }
  };
  const guarded = async (run: () => Promise<unknown>): Promise<unknown> => {
    await ready();
    try {
      return await run();
    } catch (thrown) {
      if (isBugOfOurs(thrown)) throw thrown;
      throw storeUnavailable(`Redis at ${placeOf(options)}: ${messageOf(thrown)}`, thrown);
    }
  };
  return {
    call: (command, ...args) => guarded(() => client.call(command, args.map(String))),
    run: ({ lua, sha }, keys, args) =>
      guarded(async () => {
        const rest = [...keys, ...args.map(String)];
        try {
          return await client.evalsha(sha, keys.length, ...rest);
        } catch (thrown) {
          if (!messageOf(thrown).startsWith("NOSCRIPT")) throw thrown;
          return client.eval(lua, keys.length, ...rest);
        }
      }),
    close: async () => {
      isClosed = true;
      client.disconnect();
    },
  };
}

/** Calls `onMessage` with each message of a channel, and `onGap` whenever some may have been missed. */
export function subscribe(
  options: RedisOptions,
  channel: string,
  deps: RedisDeps & { readonly onMessage: (text: string) => void; readonly onGap: () => void },
): { close(): void } {
  const client = openClient(options, deps);
  const lifetime = new AbortController();
  client.on("ready", () => {
    client.subscribe(channel).then(deps.onGap, (thrown: unknown) => {
      deps.log.debug(`Cannot listen to Redis: ${messageOf(thrown)}`);
      client.disconnect(true);
    });
  });
  client.on("message", (_channel: string, text: string) => deps.onMessage(text));
  // Nobody says anything on a quiet channel: only an answer proves that the connection lives. Its absence ends the socket.
  const check = async () => {
    for (;;) {
      await deps.clock.delay(options.commandTimeoutMs * 2, lifetime.signal);
      if (client.status === "ready") await client.ping().catch(() => client.disconnect(true));
    }
  };
  check().catch(() => undefined);
  return {
    close: () => {
      lifetime.abort();
      client.disconnect();
    },
  };
}

const lastErrors = new WeakMap<Redis, unknown>();

function lastError(client: Redis): unknown {
  return lastErrors.get(client);
}

function openClient(options: RedisOptions, deps: RedisDeps): Redis {
  const client = new Redis(toClientOptions(options, deps.random));
  let saidAway = false;
  client.on("error", (error: unknown) => {
    lastErrors.set(client, error);
    if (!saidAway) deps.log.warn(`Redis at ${placeOf(options)} is away: ${messageOf(error)}`);
    saidAway = true;
  });
  client.on("ready", () => {
    lastErrors.delete(client);
    if (saidAway) deps.log.info(`Redis at ${placeOf(options)} is back`);
    saidAway = false;
  });
  return client;
}

export function toClientOptions(options: RedisOptions, random: Random): Omit<ClientOptions, "replyMapping"> {
  const { username, password, database, tls, sentinel, commandTimeoutMs } = options;
  const retry = (times: number) => 50 + fullJitterMs(times - 1, RECONNECT, random);
  const secure = tls === undefined ? {} : { tls: toTls(tls) };
  return {
    ...(sentinel === undefined
      ? { host: options.host, port: options.port }
      : {
          sentinels: sentinel.nodes.map(({ host, port }) => ({ host, port })),
          name: sentinel.masterName,
          failoverDetector: true,
          sentinelRetryStrategy: retry,
          sentinelCommandTimeout: commandTimeoutMs,
          ...(sentinel.username === undefined ? {} : { sentinelUsername: sentinel.username }),
          ...(sentinel.password === undefined ? {} : { sentinelPassword: sentinel.password }),
          ...(sentinel.tls === true ? { enableTLSForSentinelMode: true, sentinelTLS: toTls(tls ?? {}) } : {}),
        }),
    ...secure,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(database === undefined ? {} : { db: database }),
    protocol: 2,
    connectTimeout: commandTimeoutMs,
    commandTimeout: commandTimeoutMs,
    socketTimeout: commandTimeoutMs + SILENCE_EXTRA_MS,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: retry,
    // A master that a failover has made a replica says so: the master is elsewhere now.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
  };
}

function toTls({ ca, cert, key, serverName }: RedisTls): NonNullable<ClientOptions["tls"]> {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

function placeOf({ host, port, sentinel }: RedisOptions): string {
  return sentinel === undefined ? `${host}:${port}` : `master ${sentinel.masterName}`;
}

/** An answer that would be the same from a Redis in perfect health. */
function isBugOfOurs(thrown: unknown): boolean {
  return /^(?:ERR |WRONGTYPE|CROSSSLOT)/.test(messageOf(thrown)) && !/max number of clients/.test(messageOf(thrown));
}
