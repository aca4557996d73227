import { join } from "node:path";
import { errnoOf, messageOf } from "../base/errors.ts";
import type { AgentOptions } from "./agent-options.ts";
import {
  AGENT_OPTION_KEYS,
  AGENT_OPTIONS,
  type AgentOptionKey,
  type AgentOptionValues,
  type AnyOption,
  environmentNameOf,
  flagOf,
} from "./agent-options-table.ts";
import { closestName } from "./closest-name.ts";
import { type ConfigFileContent, parseConfigFile } from "./config-file.ts";
import { type ConfigProblem, configError, showGiven } from "./config-problem.ts";
import { defaultStateDirectory, type Environment, type HostFacts } from "./state-directory.ts";
import { toAgentOptions } from "./to-agent-options.ts";

export const DEFAULT_CONFIG_FILE = "/etc/sluice/agent.yaml";

export interface ConfigSources {
  /** Text of each flag that was given, by key path. */
  readonly flags: Readonly<Partial<Record<AgentOptionKey, string>>>;
  /** `--config`. Then it must exist. */
  readonly configFile: string | undefined;
  /** Arguments that no option owns, as they were given. */
  readonly strayArguments: readonly string[];
  readonly env: Environment;
  readonly facts: HostFacts;
  /** Rejects as `fs.readFile` does. */
  readonly readTextFile: (path: string) => Promise<string>;
}

export interface LoadedOptions {
  readonly options: AgentOptions;
  readonly values: AgentOptionValues;
  /** Where each value came from. */
  readonly origins: Readonly<Record<AgentOptionKey, string>>;
  /** Things that look like mistakes and stop nothing. */
  readonly warnings: readonly string[];
}

interface Candidate {
  readonly value: unknown;
  readonly origin: string;
}

/**
 * Flags over environment (`SLUICE_*` over the old names) over file over defaults. Every value that was given is checked,
 * also one that another overrides. Rejects with one `config` error that lists every problem.
 */
export async function loadAgentOptions(sources: ConfigSources): Promise<LoadedOptions> {
  const file = await readConfigFile(sources);
  const problems: ConfigProblem[] = [...file.problems, ...strayProblems(sources.strayArguments)];

  const chosen = new Map<AgentOptionKey, Candidate>();
  for (const key of AGENT_OPTION_KEYS) {
    for (const candidate of candidatesOf(key, sources, file)) {
      const { value }: AnyOption = AGENT_OPTIONS[key];
      const parsed = value.schema.safeParse(candidate.value);
      if (!parsed.success) problems.push(badValue(key, candidate));
      else if (!chosen.has(key)) chosen.set(key, { value: parsed.data, origin: candidate.origin });
    }
  }

  const token = readToken(sources.env);
  if (token !== undefined && !/^[\x21-\x7e]{1,4096}$/.test(token)) {
    problems.push({
      origin: "SLUICE_TOKEN (environment)",
      key: "",
      message: "must be 1 to 4096 printable characters without spaces",
    });
  }
  problems.push(...pairProblems(chosen));
  if (problems.length > 0) throw configError(problems);

  const tokenUse = decideToken(token, chosen.get("link.tokenFile")?.origin);
  if (tokenUse.token !== undefined) chosen.set("link.tokenFile", { value: undefined, origin: "SLUICE_TOKEN is used" });
  const given = new Set(chosen.keys());
  await fillDefaults(chosen, sources);
  const values = toValues(chosen);
  const origins = Object.fromEntries([...chosen].map(([key, { origin }]) => [key, origin]));
  return {
    options: toAgentOptions(values, { token: tokenUse.token, given }),
    values,
    origins: origins as Record<AgentOptionKey, string>,
    warnings: [...tokenUse.warnings, ...unknownNames(sources.env)],
  };
}

/**
 * Where the agent of these sources keeps its state, whatever else is wrong with them: a person who mends a broken
 * configuration still has to reach the agent that runs. Rejects with a `config` error when that one value is wrong.
 */
export async function loadStateDirectory(sources: ConfigSources): Promise<string> {
  const key = "files.stateDir";
  const file = await readConfigFile(sources);
  const [candidate] = candidatesOf(key, sources, file);
  if (candidate === undefined) return defaultStateDirectory(sources.env, sources.facts).value;
  const parsed = AGENT_OPTIONS[key].value.schema.safeParse(candidate.value);
  if (!parsed.success) throw configError([badValue(key, candidate)]);
  return parsed.data;
}

function pairProblems(chosen: ReadonlyMap<AgentOptionKey, Candidate>): ConfigProblem[] {
  const pair = ["link.certFile", "link.keyFile"] as const;
  return pair.flatMap((key, index): ConfigProblem[] => {
    const other = pair[1 - index] ?? key;
    const given = chosen.get(other);
    if (given === undefined || chosen.has(key)) return [];
    return [{ origin: given.origin, key, message: `was given nothing; ${other} needs it` }];
  });
}

/** What was given for one key, the strongest first. */
function candidatesOf(key: AgentOptionKey, sources: ConfigSources, file: ConfigFileContent): Candidate[] {
  const { value, oldNames }: AnyOption = AGENT_OPTIONS[key];
  const candidates: Candidate[] = [];
  const addText = (text: string | undefined, origin: string) => {
    if (text !== undefined) candidates.push({ value: value.fromText(text.trim(), sources.facts.cwd), origin });
  };
  addText(sources.flags[key], flagOf(key));
  addText(setText(sources.env, environmentNameOf(key)), `${environmentNameOf(key)} (environment)`);
  for (const { name, translate } of oldNames) {
    const text = setText(sources.env, name);
    addText(text === undefined || translate === undefined ? text : translate(text), `${name} (environment)`);
  }
  for (const entry of file.values) if (entry.key === key) candidates.push(entry);
  return candidates;
}

/** An empty environment value is an unset one: unit files cannot unset a name. */
function setText(env: Environment, name: string): string | undefined {
  const text = env[name];
  return text === undefined || text.trim() === "" ? undefined : text;
}

function readToken(env: Environment): string | undefined {
  return setText(env, "SLUICE_TOKEN")?.trim();
}

function badValue(key: AgentOptionKey, { value, origin }: Candidate): ConfigProblem {
  const quoteHint =
    typeof value === "number" && AGENT_OPTIONS[key].value.schema.safeParse(String(value)).success
      ? `; put it in quotes`
      : "";
  const message = `was given ${showGiven(value)}; allowed: ${AGENT_OPTIONS[key].value.allowed}${quoteHint}`;
  return { origin, key, message };
}

function strayProblems(strayArguments: readonly string[]): ConfigProblem[] {
  const flags = ["--config", "--print-config", "--stop-streams-on-exit", "--help", ...AGENT_OPTION_KEYS.map(flagOf)];
  // What follows an unknown flag is taken for its value: it may be a secret, and it is no problem of its own.
  const isValue = (argument: string, index: number) =>
    !argument.startsWith("-") && /^--[^=]*$/.test(strayArguments[index - 1] ?? "");
  return strayArguments.flatMap((argument, index) => {
    if (isValue(argument, index)) return [];
    const [flag = argument] = argument.split("=");
    const near = closestName(flag, flags);
    const hint = near === undefined ? "" : `; did you mean ${near}?`;
    const message = /^--(?:link-)?token$/.test(flag)
      ? "is not a flag: others could read the token in the process list. Use --link-token-file or SLUICE_TOKEN"
      : `is not ${flag.startsWith("-") ? "a flag" : "expected here"}${hint}`;
    return { origin: "command line", key: flag, message };
  });
}

async function readConfigFile({ configFile, env, facts, readTextFile }: ConfigSources): Promise<ConfigFileContent> {
  const named = configFile ?? setText(env, "SLUICE_CONFIG");
  const path = named ?? DEFAULT_CONFIG_FILE;
  try {
    return parseConfigFile(path, await readTextFile(named === undefined ? path : resolveFrom(facts.cwd, named)));
  } catch (error) {
    if (named === undefined && errnoOf(error) === "ENOENT") return { values: [], problems: [] };
    const origin = configFile !== undefined ? "--config" : named !== undefined ? "SLUICE_CONFIG (environment)" : path;
    return { values: [], problems: [{ origin, key: "", message: `cannot be read: ${messageOf(error)}` }] };
  }
}

function resolveFrom(cwd: string, path: string): string {
  return path.startsWith("/") ? path : join(cwd, path);
}

async function fillDefaults(chosen: Map<AgentOptionKey, Candidate>, sources: ConfigSources): Promise<void> {
  const context = {
    env: sources.env,
    facts: sources.facts,
    stateDir: "",
    linkEndpoint: undefined as string | undefined,
    credentialFile: await findCredential(sources),
  };
  const fill = (key: AgentOptionKey) => {
    if (chosen.has(key)) return;
    const { value, because } = AGENT_OPTIONS[key].fallback(context);
    chosen.set(key, { value, origin: because });
  };
  fill("files.stateDir");
  fill("link.endpoint");
  context.stateDir = String(chosen.get("files.stateDir")?.value);
  const endpoint = chosen.get("link.endpoint")?.value;
  if (typeof endpoint === "string") context.linkEndpoint = endpoint;
  for (const key of AGENT_OPTION_KEYS) fill(key);
}

async function findCredential({ env, readTextFile }: ConfigSources): Promise<string | undefined> {
  const directory = setText(env, "CREDENTIALS_DIRECTORY");
  if (directory === undefined || !directory.startsWith("/")) return undefined;
  const path = join(directory, "token");
  try {
    await readTextFile(path);
    return path;
  } catch {
    return undefined;
  }
}

/** Every value has passed its own row's schema, or is its own row's default. */
function toValues(chosen: ReadonlyMap<AgentOptionKey, Candidate>): AgentOptionValues {
  const entries = [...chosen].map(([key, { value }]) => [key, value]);
  return Object.fromEntries(entries) as AgentOptionValues;
}

/** The environment's token beats a file that the configuration file names, and yields to one that a flag or name gives. */
function decideToken(
  token: string | undefined,
  fileOrigin: string | undefined,
): { readonly token: string | undefined; readonly warnings: readonly string[] } {
  const isFileStronger = fileOrigin?.startsWith("--") === true || fileOrigin?.endsWith("(environment)") === true;
  if (token === undefined || !isFileStronger) return { token, warnings: [] };
  return { token: undefined, warnings: [`SLUICE_TOKEN is set and not used: ${fileOrigin} names a file`] };
}

/** Names that look like ours and mean nothing. They stop nothing: other programs of ours may own them. */
function unknownNames(env: Environment): string[] {
  const known = new Set([
    ...AGENT_OPTION_KEYS.map(environmentNameOf),
    "SLUICE_CONFIG",
    "SLUICE_TOKEN",
    "SLUICE_WORKLOAD",
    "SLUICE_SPEC",
  ]);
  return Object.keys(env)
    .filter((name) => name.startsWith("SLUICE_") && !known.has(name))
    .map((name) => {
      const near = closestName(name, known);
      return `${name} is set and names no option${near === undefined ? "" : `; did you mean ${near}?`}`;
    });
}
