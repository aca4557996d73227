import { resolve } from "node:path";
import { Command } from "commander";
import {
  HUB_OPTION_KEYS,
  type HubOptionKey,
  hubEnvironmentName,
  hubFlag,
  hubOption,
} from "../../config/hub-options-table.ts";
import { loadHubOptions } from "../../config/load-hub-options.ts";
import { printHubOptions } from "../../config/print-hub-options.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { givenOptions } from "../given-options.ts";

export interface HubFlags {
  readonly options: Readonly<Partial<Record<HubOptionKey, string>>>;
  readonly config: string | undefined;
  readonly printConfig: boolean;
  readonly newAdminToken: boolean;
  /** A backup to put in the place of the store, instead of running. */
  readonly restore: string | undefined;
  readonly strayArguments: readonly string[];
}

export function hubCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("hub")
    .description("run a hub: hold what every box should run, and show what it does, until told to stop")
    .option("--config <file>", "configuration file, YAML (SLUICE_HUB_CONFIG; else /etc/sluice/hub.yaml if it exists)")
    .option("--print-config", "print the configuration in force and where each value came from, and exit")
    .option("--new-admin-token", "make another admin token at this start and print it, for when the others are lost")
    .option("--restore <file>", "put a backup (sluice backup) in the place of the store while no hub runs, and exit");
  for (const key of HUB_OPTION_KEYS) {
    const { value, help, fallbackText } = hubOption(key);
    const fallback = fallbackText.replaceAll("`", "");
    command.option(
      `${hubFlag(key)} <${value.placeholder}>`,
      `${help} Default: ${fallback}. Environment: ${hubEnvironmentName(key)}.`,
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
Flags beat the environment, which beats the file, which beats the defaults (docs/hub-configuration.md).
The first start of a new store prints the admin token, once. SIGTERM or Ctrl-C ends the hub; boxes keep streaming.
A wrong configuration exits 78 with every problem named; a second hub on the same address or file exits 75.

Example:
  sluice hub --server-listen 127.0.0.1:8080 --tls-mode off --data-dir ./hub`,
      )
      .action(async (raw: Record<string, unknown>, parsed: Command) => {
        finish(await runHubCommand(toHubFlags(raw, parsed.args), context));
      })
  );
}

export async function runHubCommand(flags: HubFlags, context: CommandContext): Promise<number> {
  const { io, env, facts, readTextFile, signal } = context;
  const loaded = await loadHubOptions({
    flags: flags.options,
    configFile: flags.config,
    strayArguments: flags.strayArguments,
    env,
    facts,
    readTextFile,
  });
  if (flags.printConfig) {
    io.write(printHubOptions(loaded));
    for (const warning of loaded.warnings) io.write(`# Warning: ${warning}\n`);
    return 0;
  }
  if (flags.restore !== undefined) {
    for (const warning of loaded.warnings) io.writeError(`sluice: ${warning}\n`);
    const { path, boxes, keptAs } = await context.restoreHub(loaded, resolve(facts.cwd, flags.restore));
    io.write(
      `${path} is now what ${flags.restore} holds (boxes: ${boxes}). Start the hub: every box gets its whole set afresh.\n`,
    );
    if (keptAs !== undefined) io.write(`What was there before is kept as ${keptAs}\n`);
    return 0;
  }
  await context.runHub(loaded, { newAdminToken: flags.newAdminToken }, signal);
  return 0;
}

function toHubFlags(raw: Readonly<Record<string, unknown>>, strayArguments: readonly string[]): HubFlags {
  const options = givenOptions(raw, HUB_OPTION_KEYS, hubFlag);
  const config = raw["config"];
  const restore = raw["restore"];
  return {
    options,
    config: typeof config === "string" ? config : undefined,
    printConfig: raw["printConfig"] === true,
    newAdminToken: raw["newAdminToken"] === true,
    restore: typeof restore === "string" ? restore : undefined,
    strayArguments,
  };
}
