import { AGENT_OPTION_KEYS, type AgentOptionKey, environmentNameOf, UNSUPPORTED_KEYS } from "./agent-options-table.ts";
import { closestName } from "./closest-name.ts";
import { type KeyFileContent, type KeyFileValue, parseKeyFile } from "./key-file.ts";

export type ConfigFileValue = KeyFileValue<AgentOptionKey>;
export type ConfigFileContent = KeyFileContent<AgentOptionKey>;

/** Reads the keys of the agent's configuration with the lines they stand on. Never throws: what is wrong is a problem. */
export function parseConfigFile(path: string, text: string): ConfigFileContent {
  return parseKeyFile({ path, text }, { keys: AGENT_OPTION_KEYS, exampleGroup: "link", unknownKeyMessage });
}

function unknownKeyMessage(key: string): string {
  if (UNSUPPORTED_KEYS.some((unsupported) => key === unsupported || key.startsWith(`${unsupported}.`))) {
    return "is not supported by this version; leave it out";
  }
  if (key === "link.token") {
    return `is not a key: a token is only read from a file (link.tokenFile) or from SLUICE_TOKEN`;
  }
  const near = closestName(key, AGENT_OPTION_KEYS) ?? inOtherUnits(key) ?? inOtherSection(key);
  return near === undefined ? "is not a key (docs/configuration.md lists them)" : `is not a key; did you mean ${near}?`;
}

/** `reconcile.intervalMs` → `reconcile.intervalSeconds`. */
function inOtherUnits(key: string): string | undefined {
  const stem = key.replace(/(?:Ms|Millis|Milliseconds|Secs?|Minutes)$/i, "");
  return AGENT_OPTION_KEYS.find((known) => known.toLowerCase() === `${stem}seconds`.toLowerCase());
}

/** `tokenFile` or `files.tokenFile` → `link.tokenFile`; also a whole environment name used as a key. */
function inOtherSection(key: string): string | undefined {
  const name = key.split(".").at(-1)?.toLowerCase();
  return AGENT_OPTION_KEYS.find(
    (known) => known.split(".").at(-1)?.toLowerCase() === name || environmentNameOf(known).toLowerCase() === name,
  );
}
