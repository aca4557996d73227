import { Command } from "commander";
import type { CommandContext, Finish } from "../command-context.ts";

export function versionCommand(context: CommandContext, finish: Finish): Command {
  return new Command("version")
    .description("print the version of Sluice and of the Node it runs on")
    .action(() => finish(runVersion(context)));
}

export function runVersion({ version, io }: CommandContext): number {
  io.write(`sluice ${version} (node ${process.versions.node})\n`);
  return 0;
}
