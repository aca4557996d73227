import { Command } from "commander";
import {
  AGENT_OPTION_KEYS,
  AGENT_OPTIONS,
  type AgentOptionKey,
  type AnyOption,
  environmentNameOf,
  flagOf,
} from "../../config/agent-options-table.ts";
import { loadAgentOptions } from "../../config/load-agent-options.ts";
import { printOptions } from "../../config/print-options.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { givenOptions } from "../given-options.ts";

export interface AgentFlags {
  readonly options: Readonly<Partial<Record<AgentOptionKey, string>>>;
  readonly config: string | undefined;
  readonly printConfig: boolean;
  readonly strayArguments: readonly string[];
}

export function agentCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("agent")
    .description("run the agent: keep the streams that the server expects of this box, until told to stop")
    .option("--config <file>", "configuration file, YAML (SLUICE_CONFIG; else /etc/sluice/agent.yaml if it exists)")
    .option("--print-config", "print the configuration in force and where each value came from, and exit")
    .option("--stop-streams-on-exit", "the same as --shutdown-streams stop");
  for (const key of AGENT_OPTION_KEYS) {
    const { value, help, fallbackText, oldNames }: AnyOption = AGENT_OPTIONS[key];
    const names = [environmentNameOf(key), ...oldNames.map(({ name }) => name)].join(", ");
    command.option(
      `${flagOf(key)} <${value.placeholder}>`,
      `${help} Default: ${fallbackText.replaceAll("`", "")}. Environment: ${names}.`,
    );
  }
  return (
    command
      // Unknown flags join the other problems of the configuration, in its one message and with its exit status.
      .allowUnknownOption()
      .allowExcessArguments()
      .addHelpText(
        "after",
        `
Flags beat the environment, which beats the file, which beats the defaults (docs/configuration.md).
SIGTERM or Ctrl-C stops the agent and, unless told otherwise, leaves the streams running for the next one.
A wrong configuration exits 78 with every problem named; a second agent on the same state directory exits 75.

Example:
  sluice agent --link-endpoint http://127.0.0.1:3000/events --state-dir ./state`,
      )
      .action(async (raw: Record<string, unknown>, parsed: Command) => {
        finish(await runAgentCommand(toAgentFlags(raw, parsed.args), context));
      })
  );
}

export async function runAgentCommand(flags: AgentFlags, context: CommandContext): Promise<number> {
  const { io, env, facts, readTextFile, signal } = context;
  const loaded = await loadAgentOptions({
    flags: flags.options,
    configFile: flags.config,
    strayArguments: flags.strayArguments,
    env,
    facts,
    readTextFile,
  });
  if (flags.printConfig) {
    io.write(printOptions(loaded));
    for (const warning of loaded.warnings) io.write(`# Warning: ${warning}\n`);
    return 0;
  }
  await context.runAgent(loaded, signal);
  return 0;
}

function toAgentFlags(raw: Readonly<Record<string, unknown>>, strayArguments: readonly string[]): AgentFlags {
  const options = givenOptions(raw, AGENT_OPTION_KEYS, flagOf);
  if (raw["stopStreamsOnExit"] === true) options["shutdown.streams"] ??= "stop";
  const config = raw["config"];
  return {
    options,
    config: typeof config === "string" ? config : undefined,
    printConfig: raw["printConfig"] === true,
    strayArguments,
  };
}
