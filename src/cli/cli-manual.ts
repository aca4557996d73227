import type { Command } from "commander";

export const MANUAL_BEGIN = "<!-- commands: written from the commands themselves -->";
export const MANUAL_END = "<!-- end of commands -->";

/** Said once for all, before the commands. */
const COMMON_FLAGS = ["--json", "--context", "--help"];
/** Their options have a page of their own. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  agent: "Every option: [configuration.md](configuration.md).",
  hub: "Every option: [hub-configuration.md](hub-configuration.md).",
};

/** The reference of every command, as Markdown. */
export function renderCliManual(program: Command): string {
  const commands = program.commands.filter((command) => command.name() !== "help");
  const groups = Map.groupBy(commands, (command) => command.helpGroup().replace(/:$/, ""));
  return [...groups]
    .map(([group, members]) => `## ${group}\n\n${members.map((command) => renderCommand(command)).join("\n")}`)
    .join("\n");
}

/** `page` with the reference between its two marks replaced by today's. */
export function withCliManual(page: string, program: Command): string {
  const [before = "", rest = ""] = page.split(MANUAL_BEGIN);
  const [, after = ""] = rest.split(MANUAL_END);
  return `${before}${MANUAL_BEGIN}\n\n${renderCliManual(program)}\n${MANUAL_END}${after}`;
}

function renderCommand(command: Command): string {
  const visible = command.createHelp().visibleCommands(command);
  const verbs = visible.filter((child) => child.name() !== "help");
  const page = ELSEWHERE[command.name()];
  const depth = command.parent?.parent === null ? "###" : "####";
  const parts = [
    `${depth} \`${pathOf(command)}${usageOf(command)}\``,
    sentence(command.description()),
    ...(page === undefined ? [[...renderArguments(command), ...renderOptions(command)].join("\n")] : [page]),
    renderNotes(command),
    ...verbs.map(renderCommand),
  ];
  return `${parts
    .filter((part) => part !== "")
    .join("\n\n")
    .trimEnd()}\n`;
}

function renderArguments(command: Command): string[] {
  return command.registeredArguments
    .filter(({ description }) => description !== "")
    .map((argument) => `- \`${argument.name()}\`: ${argument.description}.`);
}

function renderOptions(command: Command): string[] {
  return command.options
    .filter(({ hidden, long }) => !hidden && !COMMON_FLAGS.includes(long ?? ""))
    .map(({ flags, description, argChoices, defaultValue }) => {
      const choices = argChoices === undefined ? "" : ` (${argChoices.join(", ")})`;
      const fallback = typeof defaultValue === "string" ? ` Default: \`${defaultValue}\`.` : "";
      return `- \`${flags}\`: ${description}${choices}.${fallback}`;
    });
}

/** What stands below the help proper: examples, forms of files, rules. */
function renderNotes(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (piece) => {
      text += piece;
    },
    getOutHelpWidth: () => 100,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  const notes = text.slice(command.helpInformation().length).trim();
  return notes === "" || ELSEWHERE[command.name()] !== undefined ? "" : `\`\`\`text\n${notes}\n\`\`\``;
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function usageOf(command: Command): string {
  const usage = command
    .usage()
    .replaceAll(/\[options\] ?|\[command\]/g, "")
    .trim();
  const isNoun = command.commands.length > 0 && command.registeredArguments.length === 0;
  return `${usage === "" ? "" : ` ${usage}`}${isNoun ? " …" : ""}`;
}

function sentence(text: string): string {
  const [first = "", ...rest] = text;
  return text === "" ? "" : `${first.toUpperCase()}${rest.join("")}.`;
}
