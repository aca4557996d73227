import { join } from "node:path";
import { stringify } from "yaml";
import { AppError, errnoOf, messageOf } from "../base/errors.ts";
import { closestName } from "./closest-name.ts";
import { type ConfigProblem, configError, showGiven } from "./config-problem.ts";
import { type KeyFileContent, parseKeyFile } from "./key-file.ts";
import type { RouterProgramOptions } from "./router-options.ts";
import {
  ROUTER_OPTION_KEYS,
  ROUTER_OPTIONS,
  type RouterOptionKey,
  routerEnvironmentName,
  routerFlag,
  routerOption,
} from "./router-options-table.ts";
import type { Environment, HostFacts } from "./state-directory.ts";
import { hostPortOf } from "./store-address.ts";

export const DEFAULT_ROUTER_CONFIG_FILE = "/etc/sluice/router.yaml";

export interface RouterConfigSources {
  /** Text of each flag that was given, by key path. */
  readonly flags: Readonly<Partial<Record<RouterOptionKey, string>>>;
  /** `--config`. Then it must exist. */
  readonly configFile: string | undefined;
  readonly strayArguments: readonly string[];
  readonly env: Environment;
  readonly facts: HostFacts;
  /** Rejects as `fs.readFile` does. */
  readonly readTextFile: (path: string) => Promise<string>;
}

export interface LoadedRouterOptions {
  readonly options: RouterProgramOptions;
  readonly values: ReadonlyMap<RouterOptionKey, unknown>;
  readonly origins: ReadonlyMap<RouterOptionKey, string>;
}

/** Flags over environment (`SLUICE_ROUTER_*`) over file over defaults. Rejects with one `config` error that lists every problem. */
export async function loadRouterOptions(sources: RouterConfigSources): Promise<LoadedRouterOptions> {
  const file = await readFile(sources);
  const problems: ConfigProblem[] = [...file.problems, ...strayProblems(sources.strayArguments)];
  const values = new Map<RouterOptionKey, unknown>();
  const origins = new Map<RouterOptionKey, string>();
  for (const key of ROUTER_OPTION_KEYS) {
    const { value: kind, fallback, isNeeded } = routerOption(key);
    const given = candidatesOf(key, sources, file);
    for (const { value, origin } of given) {
      const parsed = kind.schema.safeParse(value);
      if (!parsed.success) {
        problems.push({ origin, key, message: `was given ${showGiven(value)}; allowed: ${kind.allowed}` });
      } else if (!values.has(key)) {
        values.set(key, parsed.data);
        origins.set(key, origin);
      }
    }
    if (given.length > 0) continue;
    if (isNeeded === true) {
      const message = `was given nothing; ${routerFlag(key)}, ${routerEnvironmentName(key)} or the file sets it`;
      problems.push({ origin: "configuration", key, message });
    }
    if (fallback !== undefined) values.set(key, kind.schema.parse(fallback));
    origins.set(key, fallback === undefined ? "not set" : "default");
  }
  problems.push(...tlsProblems(values, origins));
  if (problems.length > 0) throw configError(problems);
  return { options: toOptions(values), values, origins };
}

/** The configuration in force, as a configuration file with a comment where each value came from. It holds no secrets. */
export function printRouterOptions({ values, origins }: LoadedRouterOptions): string {
  const lines = ["# Configuration of this router. Keys that are not set are commented out."];
  let section = "";
  for (const key of ROUTER_OPTION_KEYS) {
    const [group = "", name = ""] = key.split(".");
    if (group !== section) lines.push("", `${group}:`);
    section = group;
    const value = values.get(key);
    const mask = routerOption(key).value.mask;
    const shown = typeof value === "string" && mask !== undefined ? mask(value) : value;
    const text = value === undefined ? `# ${name}:` : `${name}: ${stringify(shown, { lineWidth: 0 }).trim()}`;
    lines.push(`  ${text}  # ${origins.get(key) ?? ""}`);
  }
  return `${lines.join("\n")}\n`;
}

function candidatesOf(key: RouterOptionKey, sources: RouterConfigSources, file: KeyFileContent<RouterOptionKey>) {
  const name = routerEnvironmentName(key);
  const texts = [
    { text: sources.flags[key], origin: routerFlag(key) },
    { text: setText(sources.env, name), origin: `${name} (environment)` },
  ];
  return [
    ...texts.flatMap(({ text, origin }) =>
      text === undefined ? [] : [{ value: routerOption(key).value.fromText(text.trim(), sources.facts.cwd), origin }],
    ),
    ...file.values.filter((entry) => entry.key === key),
  ];
}

async function readFile(sources: RouterConfigSources): Promise<KeyFileContent<RouterOptionKey>> {
  const { configFile, env, facts } = sources;
  const fromEnv = setText(env, "SLUICE_ROUTER_CONFIG");
  const named = configFile ?? fromEnv;
  const path = named ?? DEFAULT_ROUTER_CONFIG_FILE;
  try {
    const text = await sources.readTextFile(path.startsWith("/") ? path : join(facts.cwd, path));
    const unknownKeyMessage = (key: string) => {
      const near = closestName(key, ROUTER_OPTION_KEYS);
      return near === undefined ? "is not a key (docs/remote.md lists them)" : `is not a key; did you mean ${near}?`;
    };
    return parseKeyFile({ path, text }, { keys: ROUTER_OPTION_KEYS, exampleGroup: "server", unknownKeyMessage });
  } catch (thrown) {
    if (named === undefined && errnoOf(thrown) === "ENOENT") return { values: [], problems: [] };
    const origin = configFile !== undefined ? "--config" : fromEnv !== undefined ? "SLUICE_ROUTER_CONFIG" : path;
    return { values: [], problems: [{ origin, key: "", message: `cannot be read: ${messageOf(thrown)}` }] };
  }
}

function strayProblems(strayArguments: readonly string[]): ConfigProblem[] {
  const flags = ["--config", "--print-config", "--help", ...ROUTER_OPTION_KEYS.map(routerFlag)];
  return strayArguments.flatMap((argument, index) => {
    // What follows an unknown flag is taken for its value: it is no problem of its own.
    if (!argument.startsWith("-") && /^--[^=]*$/.test(strayArguments[index - 1] ?? "")) return [];
    const [flag = argument] = argument.split("=");
    const near = closestName(flag, flags);
    const hint = near === undefined ? "" : `; did you mean ${near}?`;
    const message = `is not ${flag.startsWith("-") ? "a flag" : "expected here"}${hint}`;
    return { origin: "command line", key: flag, message };
  });
}

function tlsProblems(
  values: ReadonlyMap<RouterOptionKey, unknown>,
  origins: ReadonlyMap<RouterOptionKey, string>,
): ConfigProblem[] {
  const pair = ["tls.certFile", "tls.keyFile"] as const;
  const missing = pair.filter((key) => !values.has(key));
  if (missing.length === 0) return [];
  if (missing.length === 2) {
    const origin = origins.get("tls.caFile") ?? "";
    return values.has("tls.caFile") ? [{ origin, key: "tls.caFile", message: "was given without tls.certFile" }] : [];
  }
  return missing.map((key) => ({
    origin: "configuration",
    key,
    message: `was given nothing; ${pair.join(" and ")} go together`,
  }));
}

/** An empty environment value is an unset one: unit files cannot unset a name. */
function setText(env: Environment, name: string): string | undefined {
  const text = env[name];
  return text === undefined || text.trim() === "" ? undefined : text;
}

function toOptions(values: ReadonlyMap<RouterOptionKey, unknown>): RouterProgramOptions {
  const text = (key: RouterOptionKey): string | undefined => {
    const value = values.get(key);
    return value === undefined ? undefined : String(value);
  };
  const number = (key: RouterOptionKey) => Number(values.get(key));
  const listen = hostPortOf(text("server.listen") ?? "", 0);
  if (listen === undefined) throw new AppError("config", "server.listen: is no address with a port");
  const certFile = text("tls.certFile");
  const keyFile = text("tls.keyFile");
  return {
    id: text("router.id") ?? "",
    server: {
      ...listen,
      publicUrl: (text("server.publicUrl") ?? "").replace(/\/+$/, ""),
      peerUrl: text("server.peerUrl")?.replace(/\/+$/, ""),
      drainMs: number("server.drainSeconds") * 1000,
    },
    tls:
      certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile, caFile: text("tls.caFile") },
    hub: { url: text("hub.url") ?? "", tokenFile: text("hub.tokenFile") ?? "", caFile: text("hub.caFile") },
    limits: {
      sessions: number("limits.sessions"),
      sessionsPerOperator: number("limits.sessionsPerOperator"),
      windowBytes: number("limits.windowBytes"),
    },
    metrics: hostPortOf(text("metrics.listen") ?? "", 0),
    log: { level: ROUTER_OPTIONS["log.level"].value.schema.parse(values.get("log.level")) },
  };
}
