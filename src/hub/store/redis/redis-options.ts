/** Where the hubs' Redis is (version 7 or newer), and how to come in. */
export interface RedisOptions {
  readonly host: string;
  readonly port: number;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** 0 is the default; a cluster has no other. */
  readonly database?: number | undefined;
  /** Present: TLS, with the peer's certificate proved. */
  readonly tls?: RedisTls | undefined;
  /** Present: `host` and `port` are not used; the master is asked for here, and again after each loss. */
  readonly sentinel?: RedisSentinel | undefined;
  /** Several fleets can share one Redis. Letters, digits, dots, dashes. */
  readonly prefix: string;
  /** A verb's command without an answer for this long fails with `store-unavailable`. */
  readonly commandTimeoutMs: number;
  /**
   * Replicas that must have a durable change before it is acknowledged, so that a failover does not take it back. 0: the
   * master alone.
   */
  readonly replicas: number;
}

export interface RedisTls {
  /** PEM. Left out: the system's authorities. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly serverName?: string | undefined;
}

export interface RedisSentinel {
  readonly masterName: string;
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** The Sentinels too are spoken to over TLS, with the same `tls`. */
  readonly tls?: boolean | undefined;
}

export const DEFAULT_REDIS_OPTIONS: RedisOptions = {
  host: "127.0.0.1",
  port: 6379,
  prefix: "sluice",
  commandTimeoutMs: 2000,
  replicas: 0,
};
