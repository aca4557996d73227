import { isAlias, isMap, isScalar, LineCounter, type Node, parseDocument, type YAMLMap } from "yaml";
import {
  AGENT_OPTION_KEYS,
  type AgentOptionKey,
  environmentNameOf,
  isAgentOptionKey,
  UNSUPPORTED_KEYS,
} from "./agent-options-table.ts";
import { closestName } from "./closest-name.ts";
import type { ConfigProblem } from "./config-problem.ts";

export interface ConfigFileValue {
  readonly key: AgentOptionKey;
  readonly value: unknown;
  /** `/etc/sluice/agent.yaml:4` */
  readonly origin: string;
}

export interface ConfigFileContent {
  readonly values: readonly ConfigFileValue[];
  readonly problems: readonly ConfigProblem[];
}

const SECTIONS = new Set(AGENT_OPTION_KEYS.map((key) => key.split(".")[0] ?? key));
const MAX_FILE_CHARACTERS = 1_000_000;

/** Reads the keys of a YAML configuration with the lines they stand on. Never throws: what is wrong is a problem. */
export function parseConfigFile(path: string, text: string): ConfigFileContent {
  if (text.length > MAX_FILE_CHARACTERS) {
    const message = `the file holds ${text.length} characters; allowed: at most ${MAX_FILE_CHARACTERS}`;
    return { values: [], problems: [{ origin: path, key: "", message }] };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "silent" });
  const originAt = (offset: number | undefined) =>
    offset === undefined ? path : `${path}:${Math.max(1, lines.linePos(offset).line)}`;

  const values: ConfigFileValue[] = [];
  const problems: ConfigProblem[] = document.errors.map((error) => ({
    origin: originAt(error.pos[0]),
    key: "",
    message: `is not valid YAML: ${error.message}`,
  }));
  if (problems.length > 0) return { values, problems };

  const resolveAlias = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);

  const walk = (map: YAMLMap, prefix: string) => {
    for (const { key: keyNode, value: valueNode } of map.items) {
      const name = isScalar(keyNode) ? String(keyNode.value) : "?";
      const key = prefix === "" ? name : `${prefix}.${name}`;
      const origin = originAt(isScalar(keyNode) ? keyNode.range?.[0] : undefined);
      const value = resolveAlias(valueNode);
      if (isAgentOptionKey(key)) {
        values.push({ key, origin, value: toPlain(value) });
      } else if (prefix === "" && SECTIONS.has(name)) {
        if (isMap(value)) walk(value, key);
        else if (!isEmpty(value)) problems.push({ origin, key, message: "must be a group of keys" });
      } else {
        problems.push({ origin, key, message: unknownKeyMessage(key) });
      }
    }
  };

  const toPlain = (node: unknown): unknown => (isNode(node) ? node.toJS(document) : undefined);

  const root = resolveAlias(document.contents);
  if (isMap(root)) walk(root, "");
  else if (!isEmpty(root)) {
    problems.push({ origin: originAt(0), key: "", message: "must hold groups of keys, such as `link:`" });
  }
  return { values, problems };
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

function isEmpty(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "toJS" in value;
}
