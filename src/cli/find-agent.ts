import { join } from "node:path";
import type { Command } from "commander";
import { AppError } from "../base/errors.ts";
import type { LocalAgent } from "../client/local-agent.ts";
import { type ConfigSources, loadStateDirectory } from "../config/load-agent-options.ts";
import type { CommandContext } from "./command-context.ts";

/** Flags by which a command finds the agent of this machine. */
export interface PlaceFlags {
  readonly stateDir?: string;
  readonly config?: string;
}

const SERVICE_STATE_DIR = "/var/lib/sluice";

export function addPlaceFlags(command: Command): Command {
  return command
    .option("--state-dir <path>", "the agent's state directory (SLUICE_STATE_DIR)")
    .option("--config <file>", "the agent's configuration file (SLUICE_CONFIG)");
}

export function toSources(flags: PlaceFlags, context: CommandContext): ConfigSources {
  return {
    flags: flags.stateDir === undefined ? {} : { "files.stateDir": flags.stateDir },
    configFile: flags.config,
    strayArguments: [],
    env: context.env,
    facts: context.facts,
    readTextFile: context.readTextFile,
  };
}

/** The agent that these flags, the environment and the configuration file point to; it may not be running. */
export async function findAgent(flags: PlaceFlags, context: CommandContext): Promise<LocalAgent> {
  return context.connectAgent(join(await loadStateDirectory(toSources(flags, context)), "agent.sock"));
}

/** Runs `ask`; when no agent answers a user who has none of his own, says where the service's agent would be. */
export async function withAgent<T>(
  flags: PlaceFlags,
  context: CommandContext,
  ask: (agent: LocalAgent) => Promise<T>,
): Promise<T> {
  const agent = await findAgent(flags, context);
  try {
    return await ask(agent);
  } catch (error) {
    const isOwnPlace = flags.stateDir === undefined && !context.facts.isRoot;
    if (!(error instanceof AppError) || error.code !== "unavailable" || !isOwnPlace) throw error;
    const hint = `. An agent that runs as a service is asked with sudo, or with --state-dir ${SERVICE_STATE_DIR}`;
    throw new AppError(error.code, `${error.message}${hint}`, { cause: error.cause });
  }
}
