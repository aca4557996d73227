import { isAbsolute, join } from "node:path";
import { AppError } from "../base/errors.ts";
import { closestName } from "./closest-name.ts";
import type { Environment, HostFacts } from "./state-directory.ts";

/** Hubs that a person has logged in to, and which of them commands mean when nothing else is said. */
export interface Contexts {
  readonly current: string | undefined;
  readonly contexts: Readonly<Record<string, HubLogin>>;
}

export interface HubLogin {
  readonly hub: string;
  readonly token: string;
  /** PEM certificates that the hub's must lead to; the system's authorities when left out. */
  readonly ca?: string | undefined;
}

export const CONTEXT_NAME_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/;
export const NO_CONTEXTS: Contexts = { current: undefined, contexts: {} };

/** `~/.config/sluice/contexts.json`. It holds tokens: its owner's only. */
export function contextsPath(env: Environment, { homeDirectory }: HostFacts): string {
  const xdg = env["XDG_CONFIG_HOME"];
  const base = xdg !== undefined && isAbsolute(xdg) ? xdg : join(homeDirectory, ".config");
  return join(base, "sluice", "contexts.json");
}

/** Throws `config` for a file that is none. By hand: a library of schemas would take longer than all else a command does. */
export function parseContexts(text: string, path: string): Contexts {
  const file = toRecord(parseJson(text));
  const logins = toRecord(file?.["contexts"]);
  const bad = (field: string) => {
    const place = field === "" ? "" : ` at ${field}`;
    return new AppError("config", `${path} is not understood${place}: remove it and log in again (sluice login HUB)`);
  };
  if (file === undefined) throw bad("");
  if (file["version"] !== 1) throw bad("version");
  if (logins === undefined) throw bad("contexts");
  const { current } = file;
  if (current !== undefined && typeof current !== "string") throw bad("current");
  const contexts: Record<string, HubLogin> = {};
  for (const [name, value] of Object.entries(logins)) {
    const login = CONTEXT_NAME_PATTERN.test(name) ? toRecord(value) : undefined;
    if (login === undefined) throw bad(`contexts.${name}`);
    const { hub, token, ca } = login;
    if (typeof hub !== "string" || !/^https?:$/.test(URL.parse(hub)?.protocol ?? "")) throw bad(`contexts.${name}.hub`);
    if (typeof token !== "string" || token === "") throw bad(`contexts.${name}.token`);
    if (ca !== undefined && typeof ca !== "string") throw bad(`contexts.${name}.ca`);
    contexts[name] = { hub, token, ...(ca === undefined ? {} : { ca }) };
  }
  return { current: current !== undefined && Object.hasOwn(contexts, current) ? current : undefined, contexts };
}

function toRecord(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}

export function formatContexts({ current, contexts }: Contexts): string {
  return `${JSON.stringify({ version: 1, ...(current === undefined ? {} : { current }), contexts }, undefined, 2)}\n`;
}

export interface ChosenContext {
  /** `undefined` for a hub that the environment names. */
  readonly name: string | undefined;
  readonly hub: string;
  readonly token: string;
  readonly ca: string | undefined;
  /** A file that holds the authority's certificates, from the environment. */
  readonly caFile: string | undefined;
}

/**
 * Which hub is meant: `--context`, then `SLUICE_HUB` with `SLUICE_HUB_TOKEN`, then `SLUICE_CONTEXT`, then the current one.
 * Undefined when nothing names any. Throws `config` for half of an answer, `not-found` for a context that is none.
 */
export function chooseContext(known: Contexts, env: Environment, flag: string | undefined): ChosenContext | undefined {
  if (flag !== undefined) return named(known, flag, "--context");
  const [hub, token] = [nonEmpty(env["SLUICE_HUB"]), nonEmpty(env["SLUICE_HUB_TOKEN"])];
  if (hub !== undefined && token !== undefined) {
    return {
      name: undefined,
      hub: toHubUrl(hub, "SLUICE_HUB"),
      token,
      ca: undefined,
      caFile: nonEmpty(env["SLUICE_HUB_CA"]),
    };
  }
  if (hub !== undefined || token !== undefined) {
    const [has, lacks] = hub === undefined ? ["SLUICE_HUB_TOKEN", "SLUICE_HUB"] : ["SLUICE_HUB", "SLUICE_HUB_TOKEN"];
    throw new AppError("config", `${has} is set and ${lacks} is not: a token belongs to one hub, so both or none`, {
      field: lacks,
    });
  }
  const fromEnvironment = nonEmpty(env["SLUICE_CONTEXT"]);
  if (fromEnvironment !== undefined) return named(known, fromEnvironment, "SLUICE_CONTEXT");
  return known.current === undefined ? undefined : named(known, known.current, "the current context");
}

/**
 * `hub.example:8443` is taken for `https://hub.example:8443`. Throws `invalid` for what is no address of a hub; a token in it
 * would be shown in lists of processes.
 */
export function toHubUrl(text: string, field: string): string {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`);
  const fail = (why: string) =>
    new AppError("invalid", `${field}: ${why}; allowed: https://HOST[:PORT] or http://HOST[:PORT]`, { field });
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:"))
    throw fail("given is no address of a hub");
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw fail("an address of a hub holds no user, token or query");
  }
  return url.href.replace(/\/+$/, "");
}

function named(known: Contexts, name: string, by: string): ChosenContext {
  const login = Object.hasOwn(known.contexts, name) ? known.contexts[name] : undefined;
  if (login !== undefined) return { name, hub: login.hub, token: login.token, ca: login.ca, caFile: undefined };
  const near = closestName(name, Object.keys(known.contexts));
  const hint = near === undefined ? "sluice context ls shows those there are" : `did you mean ${near}?`;
  throw new AppError("not-found", `${by}: there is no context ${JSON.stringify(name)}; ${hint}`, { field: by });
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text.trim() === "" ? undefined : text.trim();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
