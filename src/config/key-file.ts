import { isAlias, isMap, isScalar, LineCounter, type Node, parseDocument, type YAMLMap } from "yaml";
import type { ConfigProblem } from "./config-problem.ts";

export interface KeyFileValue<Key extends string> {
  readonly key: Key;
  readonly value: unknown;
  /** `/etc/sluice/agent.yaml:4` */
  readonly origin: string;
}

export interface KeyFileContent<Key extends string> {
  readonly values: readonly KeyFileValue<Key>[];
  readonly problems: readonly ConfigProblem[];
}

/** The keys that a file may hold, and what is said of any other. */
export interface KeyVocabulary<Key extends string> {
  readonly keys: readonly Key[];
  /** A group for the message about a file without any. */
  readonly exampleGroup: string;
  readonly unknownKeyMessage: (key: string) => string;
}

const MAX_FILE_CHARACTERS = 1_000_000;

/** Reads the keys of a YAML configuration with the lines they stand on. Never throws: what is wrong is a problem. */
export function parseKeyFile<Key extends string>(
  { path, text }: { readonly path: string; readonly text: string },
  vocabulary: KeyVocabulary<Key>,
): KeyFileContent<Key> {
  const { keys, unknownKeyMessage } = vocabulary;
  const sections = new Set(
    keys.flatMap((key) => {
      const parts = key.split(".").slice(0, -1);
      return parts.map((_, index) => parts.slice(0, index + 1).join("."));
    }),
  );
  const known = (key: string): Key | undefined => keys.find((one) => one === key);
  if (text.length > MAX_FILE_CHARACTERS) {
    const message = `the file holds ${text.length} characters; allowed: at most ${MAX_FILE_CHARACTERS}`;
    return { values: [], problems: [{ origin: path, key: "", message }] };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "silent" });
  const originAt = (offset: number | undefined) =>
    offset === undefined ? path : `${path}:${Math.max(1, lines.linePos(offset).line)}`;

  const values: KeyFileValue<Key>[] = [];
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
      const ours = known(key);
      if (ours !== undefined) {
        values.push({ key: ours, origin, value: toPlain(value) });
      } else if (sections.has(key)) {
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
    problems.push({
      origin: originAt(0),
      key: "",
      message: `must hold groups of keys, such as \`${vocabulary.exampleGroup}:\``,
    });
  }
  return { values, problems };
}

function isEmpty(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "toJS" in value;
}
