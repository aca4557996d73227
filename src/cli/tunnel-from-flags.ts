import { AppError } from "../base/errors.ts";
import type { TunnelCreate } from "../contract/fleet/tunnel.ts";
import { hostSchema, ipAddressSchema, TLS_VERSIONS } from "../contract/tunnel-spec.ts";
import { parseDurationSeconds, parseWhole } from "./parse-values.ts";

/** Flags of `tunnel up` that say what the tunnel is. */
export interface TunnelFlags {
  readonly source: readonly string[];
  readonly entry?: readonly string[];
  readonly via?: string;
  readonly viaListen?: string;
  readonly connections?: string;
  readonly security?: "cert" | "psk";
  readonly minTls?: string;
  readonly rate?: string;
  readonly lifetime?: string;
  readonly name?: string;
}

/** Throws `invalid`, naming the flag. The boxes are given as ids. */
export function tunnelFromFlags(
  flags: TunnelFlags,
  { producer, consumer }: { readonly producer: string; readonly consumer: string },
): TunnelCreate {
  const { entry, via, viaListen, connections, security, rate, lifetime, name } = flags;
  if (via === undefined && viaListen !== undefined) {
    throw new AppError("invalid", "--via-listen: given without --via; it says where the address of --via leads to", {
      field: "--via-listen",
    });
  }
  const minTls = TLS_VERSIONS.find((version) => version === flags.minTls);
  return {
    producer,
    consumer,
    sources: flags.source.map(parseSource),
    ...(entry === undefined ? {} : { entries: entry.map(parseEntry) }),
    ...(via === undefined ? {} : { via: { ...parseVia(via), ...listenOf(viaListen) } }),
    ...(connections === undefined
      ? {}
      : { connections: parseWhole(connections, { field: "--connections", min: 1, max: 128 }) }),
    ...(security === undefined ? {} : { security }),
    ...(minTls === undefined ? {} : { minTls }),
    ...(rate === undefined ? {} : { rateMbit: parseRate(rate) }),
    ...(lifetime === undefined ? {} : { lifetimeSeconds: parseDurationSeconds(lifetime, "--lifetime") }),
    ...(name === undefined ? {} : { name }),
  };
}

/** `10.0.0.20:554`, `cam-1.example:554`, `[fd00::1]:554` */
function parseSource(text: string): { host: string; port: number } {
  const { host, port } = splitPoint(text);
  if (host !== undefined && port !== undefined && hostSchema.safeParse(host).success) {
    return { host, port: portOf(port, "--source") };
  }
  throw bad("--source", text, "HOST:PORT, as in 10.0.0.20:554 or [fd00::20]:554");
}

/** `5100`, `10.0.0.1:5100`, `10.0.0.1` (the port then comes from the box's range). */
function parseEntry(text: string): { address?: string; port?: number } {
  const { host, port } = splitPoint(text);
  if (host !== undefined && !ipAddressSchema.safeParse(host).success) {
    throw bad("--entry", text, "PORT, ADDRESS:PORT or ADDRESS, as in 5100 or 10.0.0.1:5100");
  }
  return {
    ...(host === undefined ? {} : { address: host }),
    ...(port === undefined ? {} : { port: portOf(port, "--entry") }),
  };
}

function parseVia(text: string): { address: string; port?: number } {
  const { host, port } = splitPoint(text);
  if (host === undefined || !hostSchema.safeParse(host).success) {
    throw bad("--via", text, "HOST or HOST:PORT, as in 198.51.100.7 or gw.example:20000");
  }
  return { address: host, ...(port === undefined ? {} : { port: portOf(port, "--via") }) };
}

function listenOf(text: string | undefined): { listen?: string } {
  if (text === undefined) return {};
  if (!ipAddressSchema.safeParse(text).success) throw bad("--via-listen", text, "an IP address of the producer's box");
  return { listen: text };
}

function splitPoint(text: string): { readonly host?: string; readonly port?: string } {
  if (/^\d+$/.test(text)) return { port: text };
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(text);
  const [, host = text, port] = bracketed ?? /^([^:]+):(\d+)$/.exec(text) ?? [];
  return { host, ...(port === undefined ? {} : { port }) };
}

function portOf(text: string, field: string): number {
  return parseWhole(text, { field, min: 1, max: 65_535 });
}

function parseRate(text: string): number {
  const rate = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : 0;
  if (rate > 0) return rate;
  throw bad("--rate", text, "Mbit/s above 0, as in 20 or 2.5");
}

function bad(field: string, given: string, allowed: string): AppError {
  return new AppError("invalid", `${field}: given ${JSON.stringify(given)}; allowed: ${allowed}`, { field });
}
