import { z } from "zod";
import { canonicalHost } from "../../base/canonical-host.ts";

/** What the owner of a box lets operators do on it from afar. Everything is empty, and so forbidden, until somebody writes it. */
export interface RemotePolicy {
  /** Names of operators; `*`: whoever the hub lets. */
  readonly operators: readonly string[];
  /** Absolute paths of programs; `*`: all. */
  readonly commands: readonly string[];
  /** The login shell of a user. */
  readonly shell: boolean;
  /** Users beside the agent's own; `*`: all. */
  readonly users: readonly string[];
  /** Directories in which a command may be told to begin, with all below them. */
  readonly directories: readonly string[];
  /** Names of variables that an operator may set for a command; `*` at the end stands for any ending. */
  readonly environment: readonly string[];
  /** `host:port`, `host:port-port` or `*`, each with `/tcp` or `/udp` where only one of them is meant. */
  readonly forward: readonly string[];
  /** Ids of application sessions whose declared ports may be reached; `*` at the end stands for any ending. */
  readonly sessions: readonly string[];
  /** `path:ro` or `path:rw`. */
  readonly rsync: readonly string[];
}

export type RemoteAbility = "exec" | "shell" | "forward" | "session" | "rsync";

/** What some operator may do here. Empty: remote access is off. */
export function remoteAbilities(policy: RemotePolicy): readonly RemoteAbility[] {
  if (policy.operators.length === 0) return [];
  return [
    ...(policy.commands.length > 0 ? (["exec"] as const) : []),
    ...(policy.shell ? (["shell"] as const) : []),
    ...(policy.forward.length > 0 ? (["forward"] as const) : []),
    ...(policy.sessions.length > 0 ? (["session"] as const) : []),
    ...(policy.rsync.length > 0 ? (["rsync"] as const) : []),
  ];
}

export interface ForwardRule {
  /** `*`: any. An address in its shortest form, or a name in lower case. */
  readonly host: string;
  readonly from: number;
  readonly to: number;
  readonly protocols: readonly ("tcp" | "udp")[];
}

/** `undefined`: it is none. */
export function parseForwardRule(text: string): ForwardRule | undefined {
  const [, place = "", protocol] = /^(.*?)(?:\/(tcp|udp))?$/s.exec(text) ?? [];
  const protocols: ForwardRule["protocols"] = protocol === "tcp" || protocol === "udp" ? [protocol] : ["tcp", "udp"];
  if (place === "*") return { host: "*", from: 1, to: 65_535, protocols };
  const [, bracketed, bare, ports = ""] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]/\s]+)):([0-9*-]+)$/.exec(place) ?? [];
  const host = bracketed ?? bare;
  if (host === undefined || (bracketed !== undefined && !bracketed.includes(":"))) return undefined;
  const range = parsePorts(ports);
  const canonical = host === "*" ? "*" : canonicalHost(host);
  if (range === undefined || canonical === undefined) return undefined;
  return { host: canonical, ...range, protocols };
}

function parsePorts(text: string): { readonly from: number; readonly to: number } | undefined {
  if (text === "*") return { from: 1, to: 65_535 };
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const from = Number(first);
  const to = Number(last ?? first);
  return from >= 1 && from <= to && to <= 65_535 ? { from, to } : undefined;
}

export interface RsyncRoot {
  readonly path: string;
  readonly mayWrite: boolean;
}

/** `undefined`: it is none. */
export function parseRsyncRoot(text: string): RsyncRoot | undefined {
  const [, path, mode] = /^(\/[^\p{Cc}]*?):(ro|rw)$/u.exec(text) ?? [];
  return path === undefined ? undefined : { path, mayWrite: mode === "rw" };
}

export const forwardRuleSchema = z.string().refine((text) => parseForwardRule(text) !== undefined);
export const rsyncRootSchema = z.string().refine((text) => parseRsyncRoot(text) !== undefined);
export const operatorPatternSchema = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[^\p{Cc}]*$/u);
export const sessionPatternSchema = z.string().regex(/^(?:\*|[a-z][a-z0-9-]{0,51}\*?)$/);
export const userPatternSchema = z.string().regex(/^(?:\*|[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?)$/);
export const variablePatternSchema = z.string().regex(/^(?:\*|[A-Za-z_][A-Za-z0-9_]{0,126}\*?)$/);
