import { stringify } from "yaml";
import { AGENT_OPTION_KEYS, AGENT_OPTIONS, type AgentOptionKey, type AnyOption } from "./agent-options-table.ts";
import type { LoadedOptions } from "./load-agent-options.ts";

/** The configuration in force, as a configuration file with a comment where each value came from. Secrets are masked. */
export function printOptions({ values, origins, options }: LoadedOptions): string {
  const lines = ["# Configuration of this agent. Keys that are not set are commented out."];
  if (options.link.token !== undefined) lines.push("# SLUICE_TOKEN holds the token.");
  let open: readonly string[] = [];
  for (const key of AGENT_OPTION_KEYS) {
    const groups = key.split(".");
    const name = groups.pop() ?? "";
    for (const [depth, group] of groups.entries()) {
      const path = groups.slice(0, depth + 1).join(".");
      if (open.slice(0, depth + 1).join(".") === path) continue;
      const isAllUnset = AGENT_OPTION_KEYS.every(
        (other) => !other.startsWith(`${path}.`) || values[other] === undefined,
      );
      if (depth === 0) lines.push("");
      lines.push(`${"  ".repeat(depth)}${isAllUnset ? "# " : ""}${group}:`);
      open = groups.slice(0, depth + 1);
    }
    open = groups;
    const text = values[key] === undefined ? `# ${name}:` : `${name}: ${toYaml(key, values[key])}`;
    lines.push(`${"  ".repeat(groups.length)}${text}  # ${origins[key]}`);
  }
  return `${lines.join("\n")}\n`;
}

function toYaml(key: AgentOptionKey, value: unknown): string {
  const { value: kind }: AnyOption = AGENT_OPTIONS[key];
  const shown = typeof value === "string" && kind.mask !== undefined ? kind.mask(value) : value;
  return stringify(shown, { collectionStyle: "flow", lineWidth: 0, flowCollectionPadding: false }).trim();
}
