import { stringify } from "yaml";
import { HUB_OPTION_KEYS, hubEnvironmentName, hubFlag, hubOption } from "./hub-options-table.ts";
import type { LoadedHubOptions } from "./load-hub-options.ts";

/** The configuration in force, as a configuration file with a comment where each value came from. Secrets are masked. */
export function printHubOptions({ values, origins }: LoadedHubOptions): string {
  const lines = ["# Configuration of this hub. Keys that are not set are commented out."];
  let section = "";
  for (const key of HUB_OPTION_KEYS) {
    const [group = "", name = ""] = key.split(".");
    if (group !== section) lines.push("", `${group}:`);
    section = group;
    const value = values.get(key);
    const { mask } = hubOption(key).value;
    const shown = typeof value === "string" && mask !== undefined ? mask(value) : value;
    const text =
      value === undefined
        ? `# ${name}:`
        : `${name}: ${stringify(shown, { collectionStyle: "flow", lineWidth: 0, flowCollectionPadding: false }).trim()}`;
    lines.push(`  ${text}  # ${origins.get(key) ?? ""}`);
  }
  return `${lines.join("\n")}\n`;
}

export const HUB_MANUAL_BEGIN = "<!-- options: written from src/config/hub-options-table.ts -->";
export const HUB_MANUAL_END = "<!-- end of options -->";

/** `page` with the reference of every key between its two marks replaced by today's. */
export function withHubOptionsManual(page: string): string {
  const [before = "", rest = ""] = page.split(HUB_MANUAL_BEGIN);
  const [, after = ""] = rest.split(HUB_MANUAL_END);
  const sections = Map.groupBy(HUB_OPTION_KEYS, (key) => key.split(".")[0] ?? key);
  const manual = [...sections]
    .map(([section, keys]) => `### ${section}\n\n${keys.map(renderOption).join("\n")}`)
    .join("\n");
  return `${before}${HUB_MANUAL_BEGIN}\n\n${manual}\n${HUB_MANUAL_END}${after}`;
}

function renderOption(key: (typeof HUB_OPTION_KEYS)[number]): string {
  const { value, help, fallbackText } = hubOption(key);
  return [
    `**\`${key}\`** — ${help}`,
    `<br>Default: ${fallbackText}. Allowed: ${value.allowed}.`,
    `<br>Flag \`${hubFlag(key)} <${value.placeholder}>\`, environment \`${hubEnvironmentName(key)}\`.`,
    "",
  ].join("\n");
}
