import { Command } from "commander";
import { loadRouterOptions, printRouterOptions } from "../../config/load-router-options.ts";
import {
  ROUTER_OPTION_KEYS,
  routerEnvironmentName,
  routerFlag,
  routerOption,
} from "../../config/router-options-table.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { givenOptions } from "../given-options.ts";

export function routerCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("router")
    .description("run a router: bring both ends of remote sessions together, for a hub, until told to stop")
    .option(
      "--config <file>",
      "configuration file, YAML (SLUICE_ROUTER_CONFIG; else /etc/sluice/router.yaml if it exists)",
    )
    .option("--print-config", "print the configuration in force and where each value came from, and exit");
  for (const key of ROUTER_OPTION_KEYS) {
    const { value, help, fallback, isNeeded } = routerOption(key);
    const without = isNeeded === true ? "Needed." : `Default: ${fallback ?? "not set"}.`;
    const text = `${help.replaceAll("`", "")} ${without} Environment: ${routerEnvironmentName(key)}.`;
    command.option(`${routerFlag(key)} <${value.placeholder}>`, text);
  }
  return (
    command
      // Unknown flags join the other problems of the configuration, in its one message and with its exit status.
      .allowUnknownOption()
      .allowExcessArguments()
      .addHelpText(
        "after",
        `
A hub is a router itself, on its own port: one of its own is for other networks, more traffic, or a balancer of several.
SIGTERM or Ctrl-C sends its sessions to another router, then ends it. docs/remote.md says more.

Example:
  sluice token create router-1 --role router > router.token
  sluice router --id router-1 --server-public-url https://router-1.example:8444 --tls-cert-file cert.pem \\
    --tls-key-file key.pem --hub-url https://hub.example:8443 --hub-token-file router.token`,
      )
      .action(async (raw: Record<string, unknown>, parsed: Command) => {
        const { io, env, facts, readTextFile, signal } = context;
        const config = raw["config"];
        const loaded = await loadRouterOptions({
          flags: givenOptions(raw, ROUTER_OPTION_KEYS, routerFlag),
          configFile: typeof config === "string" ? config : undefined,
          strayArguments: parsed.args,
          env,
          facts,
          readTextFile,
        });
        if (raw["printConfig"] === true) io.write(printRouterOptions(loaded));
        else await context.runRouter(loaded, signal);
        finish(0);
      })
  );
}
