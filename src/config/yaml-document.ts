import { isMap, isNode, isScalar, LineCounter, parseDocument } from "yaml";
import { AppError } from "../base/errors.ts";

export interface YamlDocument {
  /** As JSON would hold it. */
  readonly value: unknown;
  /** `fleet.yaml:12`, the line of what stands at the path, or of the nearest thing around it. */
  readonly originOf: (path: readonly PropertyKey[]) => string;
}

const MAX_CHARACTERS = 4_000_000;
/** A file of a few aliases could otherwise grow without end. */
const MAX_ALIASES = 1000;

/** Reads YAML, JSON included. Throws `config` with the line for what is neither. */
export function parseYamlDocument(path: string, text: string): YamlDocument {
  if (text.length > MAX_CHARACTERS) {
    throw new AppError("config", `${path} holds ${text.length} characters; allowed: at most ${MAX_CHARACTERS}`);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "silent" });
  const originAt = (offset: number | undefined) =>
    offset === undefined ? path : `${path}:${Math.max(1, lines.linePos(offset).line)}`;
  const [error] = document.errors;
  if (error !== undefined)
    throw new AppError("config", `${originAt(error.pos[0])}: is not valid YAML: ${error.message}`);
  return {
    value: toPlain(path, () => document.toJS({ maxAliasCount: MAX_ALIASES })),
    originOf: (wanted) => {
      let node: unknown = document.contents;
      let offset: number | undefined;
      for (const key of wanted) {
        const pair = isMap(node) ? node.items.find((item) => isScalar(item.key) && item.key.value === key) : undefined;
        if (pair !== undefined && isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
        node = isNode(node) && "get" in node ? node.get(typeof key === "symbol" ? String(key) : key, true) : undefined;
        if (node === undefined) break;
        if (pair === undefined && isNode(node)) offset = node.range?.[0] ?? offset;
      }
      return originAt(offset);
    },
  };
}

function toPlain(path: string, read: () => unknown): unknown {
  try {
    return read();
  } catch (cause) {
    throw new AppError("config", `${path}: its aliases cannot be followed`, { cause });
  }
}
