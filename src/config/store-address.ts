import { isAbsolute } from "node:path";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface RedisAddress extends HostPort {
  readonly kind: "redis";
  readonly username: string | undefined;
  /** A secret. */
  readonly password: string | undefined;
  readonly database: number;
  readonly tls: boolean;
  readonly sentinel: { readonly masterName: string; readonly nodes: readonly HostPort[] } | undefined;
}

export type StoreAddress =
  | { readonly kind: "memory" }
  | { readonly kind: "sqlite"; readonly path: string }
  | RedisAddress;

export const STORE_FORMS =
  "memory:, sqlite:/absolute/path, redis://[user[:password]@]host[:port][/database], rediss://… for TLS, or redis+sentinel://host:port,host:port/master-name";

/** Pure. `undefined` for anything else. */
export function parseStoreAddress(text: string): StoreAddress | undefined {
  if (text === "memory:") return { kind: "memory" };
  if (text.startsWith("sqlite:")) {
    const path = text.slice("sqlite:".length).replace(/^\/\/(?=\/)/, "");
    return isAbsolute(path) && !path.includes("\0") ? { kind: "sqlite", path } : undefined;
  }
  const parts = /^(rediss?)(\+sentinel)?:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^@/?#]+)(?:\/([^/?#]*))?$/.exec(text);
  if (parts === null) return undefined;
  const [, scheme, sentinel, username = "", password = "", hosts = "", rest = ""] = parts;
  const nodes = hosts.split(",").map((host) => hostPortOf(host, sentinel === undefined ? 6379 : 26_379));
  const [first] = nodes;
  if (first === undefined || nodes.includes(undefined)) return undefined;
  const isSentinel = sentinel !== undefined;
  if (isSentinel ? !/^[A-Za-z0-9_.-]+$/.test(rest) : nodes.length > 1 || !/^\d{0,4}$/.test(rest)) return undefined;
  return {
    kind: "redis",
    ...first,
    username: decoded(username),
    password: decoded(password),
    database: isSentinel ? 0 : Number(rest),
    tls: scheme === "rediss",
    sentinel: isSentinel ? { masterName: rest, nodes: nodes.filter((node) => node !== undefined) } : undefined,
  };
}

/** `host`, `host:7000`, `[::1]:7000`. */
export function hostPortOf(text: string, fallback: number): HostPort | undefined {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?$/.exec(text);
  const port = parts?.[3] === undefined ? fallback : Number(parts[3]);
  const host = parts?.[1] ?? parts?.[2];
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

function decoded(text: string): string | undefined {
  if (text === "") return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    // Not valid percent-encoding: then it is meant as it stands.
    return text;
  }
}
