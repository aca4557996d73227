import { join } from "node:path";
import { errnoOf, messageOf } from "../base/errors.ts";
import { closestName } from "./closest-name.ts";
import { type ConfigProblem, configError, showGiven } from "./config-problem.ts";
import type { HubOptions } from "./hub-options.ts";
import { HUB_OPTION_KEYS, type HubOptionKey, hubEnvironmentName, hubFlag, hubOption } from "./hub-options-table.ts";
import { type KeyFileContent, parseKeyFile } from "./key-file.ts";
import type { Environment, HostFacts } from "./state-directory.ts";
import { tlsProblems, toHubOptions } from "./to-hub-options.ts";

export const DEFAULT_HUB_CONFIG_FILE = "/etc/sluice/hub.yaml";

export interface HubConfigSources {
  /** Text of each flag that was given, by key path. */
  readonly flags: Readonly<Partial<Record<HubOptionKey, string>>>;
  /** `--config`. Then it must exist. */
  readonly configFile: string | undefined;
  readonly strayArguments: readonly string[];
  readonly env: Environment;
  readonly facts: HostFacts;
  /** Rejects as `fs.readFile` does. */
  readonly readTextFile: (path: string) => Promise<string>;
}

export interface LoadedHubOptions {
  readonly options: HubOptions;
  readonly values: ReadonlyMap<HubOptionKey, unknown>;
  readonly origins: ReadonlyMap<HubOptionKey, string>;
  /** Things that look like mistakes and stop nothing. */
  readonly warnings: readonly string[];
}

/**
 * Flags over environment (`SLUICE_HUB_*`) over file over defaults. Every value that was given is checked, also one that
 * another overrides. Rejects with one `config` error that lists every problem.
 */
export async function loadHubOptions(sources: HubConfigSources): Promise<LoadedHubOptions> {
  const file = await readFile(sources);
  const problems: ConfigProblem[] = [...file.problems, ...strayProblems(sources.strayArguments)];
  const values = new Map<HubOptionKey, unknown>();
  const origins = new Map<HubOptionKey, string>();
  for (const key of HUB_OPTION_KEYS) {
    for (const { value, origin } of candidatesOf(key, sources, file)) {
      const { schema, allowed, mask } = hubOption(key).value;
      const parsed = schema.safeParse(value);
      const shown = typeof value === "string" && mask !== undefined ? mask(value) : value;
      if (!parsed.success)
        problems.push({ origin, key, message: `was given ${showGiven(shown)}; allowed: ${allowed}` });
      else if (!values.has(key)) {
        values.set(key, parsed.data);
        origins.set(key, origin);
      }
    }
  }
  problems.push(...tlsProblems(values, origins));
  if (problems.length > 0) throw configError(problems);

  const { env, facts } = sources;
  const dataDir = values.get("files.dataDir") ?? hubOption("files.dataDir").fallback({ env, facts, dataDir: "" }).value;
  for (const key of HUB_OPTION_KEYS) {
    if (values.has(key)) continue;
    const { value, because } = hubOption(key).fallback({ env, facts, dataDir: String(dataDir) });
    values.set(key, value);
    origins.set(key, because);
  }
  const options = toHubOptions(values);
  return { options, values, origins, warnings: [...unknownNames(env), ...warningsOf(options)] };
}

function candidatesOf(key: HubOptionKey, sources: HubConfigSources, file: KeyFileContent<HubOptionKey>) {
  const { value } = hubOption(key);
  const candidates: { value: unknown; origin: string }[] = [];
  const addText = (text: string | undefined, origin: string) => {
    if (text !== undefined) candidates.push({ value: value.fromText(text.trim(), sources.facts.cwd), origin });
  };
  const name = hubEnvironmentName(key);
  addText(sources.flags[key], hubFlag(key));
  addText(setText(sources.env, name), `${name} (environment)`);
  for (const entry of file.values) if (entry.key === key) candidates.push(entry);
  return candidates;
}

async function readFile(sources: HubConfigSources): Promise<KeyFileContent<HubOptionKey>> {
  const { configFile, env, facts } = sources;
  const named = configFile ?? setText(env, "SLUICE_HUB_CONFIG");
  const path = named ?? DEFAULT_HUB_CONFIG_FILE;
  try {
    const text = await sources.readTextFile(path.startsWith("/") ? path : join(facts.cwd, path));
    return parseKeyFile({ path, text }, { keys: HUB_OPTION_KEYS, exampleGroup: "server", unknownKeyMessage });
  } catch (thrown) {
    if (named === undefined && errnoOf(thrown) === "ENOENT") return { values: [], problems: [] };
    const origin =
      configFile !== undefined ? "--config" : named === undefined ? path : "SLUICE_HUB_CONFIG (environment)";
    return { values: [], problems: [{ origin, key: "", message: `cannot be read: ${messageOf(thrown)}` }] };
  }
}

function unknownKeyMessage(key: string): string {
  const near = closestName(key, HUB_OPTION_KEYS);
  return near === undefined
    ? "is not a key (docs/hub-configuration.md lists them)"
    : `is not a key; did you mean ${near}?`;
}

function strayProblems(strayArguments: readonly string[]): ConfigProblem[] {
  const flags = ["--config", "--print-config", "--new-admin-token", "--help", ...HUB_OPTION_KEYS.map(hubFlag)];
  return strayArguments.flatMap((argument, index) => {
    // What follows an unknown flag is taken for its value: it is no problem of its own.
    if (!argument.startsWith("-") && /^--[^=]*$/.test(strayArguments[index - 1] ?? "")) return [];
    const [flag = argument] = argument.split("=");
    const near = closestName(flag, flags);
    const hint = near === undefined ? "" : `; did you mean ${near}?`;
    return {
      origin: "command line",
      key: flag,
      message: `is not ${flag.startsWith("-") ? "a flag" : "expected here"}${hint}`,
    };
  });
}

/** An empty environment value is an unset one: unit files cannot unset a name. */
function setText(env: Environment, name: string): string | undefined {
  const text = env[name];
  return text === undefined || text.trim() === "" ? undefined : text;
}

function unknownNames(env: Environment): string[] {
  const known = new Set([...HUB_OPTION_KEYS.map(hubEnvironmentName), "SLUICE_HUB_CONFIG"]);
  return Object.keys(env)
    .filter((name) => name.startsWith("SLUICE_HUB_") && !known.has(name))
    .map((name) => {
      const near = closestName(name, known);
      return `${name} is set and names no option${near === undefined ? "" : `; did you mean ${near}?`}`;
    });
}

function warningsOf({ server, tls, store }: HubOptions): string[] {
  const warnings: string[] = [];
  if (tls.mode === "off" && !/^(?:127\.|::1$|localhost$)/.test(server.host)) {
    warnings.push(
      `tls.mode is off and ${server.host} is no loopback address: tokens travel readable for all on the way`,
    );
  }
  if (store.kind === "memory") warnings.push("the store is in memory: all that the hub knows ends with it");
  return warnings;
}
