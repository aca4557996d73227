import {
  AGENT_OPTION_KEYS,
  AGENT_OPTIONS,
  type AgentOptionKey,
  type AnyOption,
  environmentNameOf,
  flagOf,
} from "./agent-options-table.ts";

export const MANUAL_BEGIN = "<!-- options: written from src/config/agent-options-table.ts -->";
export const MANUAL_END = "<!-- end of options -->";

/** The reference of every key, as Markdown. */
export function renderOptionsManual(): string {
  const sections = Map.groupBy(AGENT_OPTION_KEYS, (key) => key.split(".")[0] ?? key);
  return [...sections].map(([section, keys]) => `### ${section}\n\n${keys.map(renderOption).join("\n")}`).join("\n");
}

/** `page` with the reference between its two marks replaced by today's. */
export function withOptionsManual(page: string): string {
  const [before = "", rest = ""] = page.split(MANUAL_BEGIN);
  const [, after = ""] = rest.split(MANUAL_END);
  return `${before}${MANUAL_BEGIN}\n\n${renderOptionsManual()}\n${MANUAL_END}${after}`;
}

function renderOption(key: AgentOptionKey): string {
  const { value, help, fallbackText, oldNames }: AnyOption = AGENT_OPTIONS[key];
  const names = [environmentNameOf(key), ...oldNames.map(({ name }) => name)].map((name) => `\`${name}\``);
  return [
    `**\`${key}\`** — ${help}`,
    `<br>Default: ${fallbackText}. Allowed: ${value.allowed}.`,
    `<br>Flag \`${flagOf(key)} <${value.placeholder}>\`, environment ${names.join(", ")}.`,
    "",
  ].join("\n");
}
