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
  const lifetime = new AbortController();
  const client = openClient(options, deps, lifetime.signal);
  client.on("ready", () => {
    const warn = (info: string) => {
      for (const text of durabilityWarnings(info)) deps.log.warn(text);
    };
    client.info().then(warn, () => undefined);
  });
  const { commandTimeoutMs } = options;

  let coming: Promise<void> | undefined;

  const untilReady = async () => {
    const limit = new AbortController();
    const timer = deps.clock.timer(commandTimeoutMs / 2, () => limit.abort());
    try {
      await once(client, "ready", { signal: limit.signal });
    } catch (thrown) {
      const reason = lastErrors.get(client);
      const why = reason === undefined ? "no answer" : messageOf(reason);
      throw storeUnavailable(`Redis at ${placeOf(options)} is away (${why})`, reason ?? thrown);
    } finally {
      timer.clear();
      coming = undefined;
    }
  };
  /** All verbs that meet while Redis is away wait for it together. */
  const ready = async () => {
    if (lifetime.signal.aborted) throw storeUnavailable("the store is closed");
    if (client.status === "ready") return;
    coming ??= untilReady();
    await coming;
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
      lifetime.abort();
      // What was sent before is answered before the goodbye.
      if (client.status === "ready") await client.quit().catch(() => undefined);
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
  const lifetime = new AbortController();
  const client = openClient(options, deps, lifetime.signal);
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

/** Why a client could last not come in. */
const lastErrors = new WeakMap<Redis, unknown>();

function openClient(options: RedisOptions, deps: RedisDeps, signal: AbortSignal): Redis {
  const client = new Redis(toClientOptions(options, deps.random));
  let saidAway = false;
  client.on("error", (error: unknown) => {
    lastErrors.set(client, error);
    if (!saidAway && !signal.aborted) deps.log.warn(`Redis at ${placeOf(options)} is away: ${messageOf(error)}`);
    saidAway = true;
  });
  client.on("ready", () => {
    lastErrors.delete(client);
    if (saidAway) deps.log.info(`Redis at ${placeOf(options)} is back`);
    saidAway = false;
  });
  // The library gives up for good when a failover is announced while it connects. Nothing but `close` is the end here.
  client.on("end", () => {
    const comeBack = async () => {
      await deps.clock.delay(retryDelayMs(1, deps.random), signal);
      await client.connect();
    };
    if (!signal.aborted) comeBack().catch(() => undefined);
  });
  return client;
}

export function toClientOptions(options: RedisOptions, random: Random): Omit<ClientOptions, "replyMapping"> {
  const { username, password, database, tls, sentinel, commandTimeoutMs } = options;
  const retry = (times: number) => retryDelayMs(times, random);
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

function retryDelayMs(times: number, random: Random): number {
  return 50 + fullJitterMs(times - 1, RECONNECT, random);
}

function toTls({ ca, cert, key, serverName }: RedisTls): NonNullable<ClientOptions["tls"]> {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

/** Pure. What in Redis' `INFO` means that acknowledged changes can be lost. */
export function durabilityWarnings(info: string): readonly string[] {
  const factOf = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
  const policy = factOf("maxmemory_policy");
  return [
    ...(factOf("aof_enabled") === "0"
      ? ["Redis forgets acknowledged changes when it stops: set appendonly yes and appendfsync always"]
      : []),
    ...(policy !== undefined && policy !== "noeviction"
      ? [`Redis throws data away when its memory is full (maxmemory-policy ${policy}): set noeviction`]
      : []),
  ];
}

function placeOf({ host, port, sentinel }: RedisOptions): string {
  return sentinel === undefined ? `${host}:${port}` : `master ${sentinel.masterName}`;
}

/** An answer that would be the same from a Redis in perfect health. */
function isBugOfOurs(thrown: unknown): boolean {
  return /^(?:ERR |WRONGTYPE|CROSSSLOT)/.test(messageOf(thrown)) && !/max number of clients/.test(messageOf(thrown));
}
