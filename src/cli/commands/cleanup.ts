import { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import { loadAgentOptions } from "../../config/load-agent-options.ts";
import type { CleanupResult } from "../../contract/local-status.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addPlaceFlags, findAgent, type PlaceFlags, toSources } from "../find-agent.ts";

export interface CleanupFlags extends PlaceFlags {
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function cleanupCommand(context: CommandContext, finish: Finish): Command {
  return addPlaceFlags(new Command("cleanup"))
    .description("stop processes that are ours and should not be there")
    .option("--dry-run", "only say what would be stopped")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
With a running agent: it stops what is ours and not expected, and keeps what is.
Without one: every process that proves to be ours is stopped, and its record cleared. Use it before removing Sluice.

A process counts as ours only if its start time, the boot and the mark in its environment agree. No other is touched.
Exits 75 when a process could not be stopped.`,
    )
    .action(async (flags: CleanupFlags) => finish(await runCleanup(flags, context)));
}

export async function runCleanup(flags: CleanupFlags, context: CommandContext): Promise<number> {
  const result = await clean(flags, context);
  context.io.write(flags.json === true ? `${JSON.stringify(result, undefined, 2)}\n` : renderCleanup(result));
  return result.processes.some(({ outcome }) => outcome === "unkillable") ? 75 : 0;
}

async function clean(flags: CleanupFlags, context: CommandContext): Promise<CleanupResult> {
  const wanted = { dryRun: flags.dryRun === true };
  const agent = await findAgent(flags, context);
  try {
    return await agent.cleanup(wanted, context.signal);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "unavailable") throw error;
  }
  const { options } = await loadAgentOptions(toSources(flags, context));
  if (flags.json !== true) context.io.write("No agent runs here: looking at every process.\n");
  return context.cleanupWithoutAgent(options, wanted, context.signal);
}

const OUTCOMES: Readonly<Record<CleanupResult["processes"][number]["outcome"], string>> = {
  kept: "kept",
  stopped: "stopped",
  "would-stop": "would be stopped",
  unkillable: "COULD NOT BE STOPPED",
};

export function renderCleanup({ processes }: CleanupResult): string {
  if (processes.length === 0) return "No process of ours is here.\n";
  return processes
    .map(({ pid, workloadId, generation, outcome, reason }) => {
      return `pid ${pid} (${workloadId}, generation ${generation}) ${OUTCOMES[outcome]}: ${reason}\n`;
    })
    .join("");
}
