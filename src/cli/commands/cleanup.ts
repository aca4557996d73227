import { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import { loadAgentOptions } from "../../config/load-agent-options.ts";
import type { CleanupResult, CleanupWish } from "../../contract/local-status.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addPlaceFlags, findAgent, type PlaceFlags, toSources } from "../find-agent.ts";

export interface CleanupFlags extends PlaceFlags {
  readonly dryRun?: boolean;
  readonly previous?: boolean;
  readonly all?: boolean;
  readonly tunnel?: string;
  readonly json?: boolean;
}

export function cleanupCommand(context: CommandContext, finish: Finish): Command {
  return addPlaceFlags(new Command("cleanup"))
    .description("stop processes that are ours and should not be there")
    .option("--dry-run", "only say what would be stopped")
    .option("--previous", "stop all that earlier agents have started too")
    .option("--all", "stop all of ours")
    .option("--tunnel <uid>", "stop the processes of this tunnel's ends, and nothing else")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
With a running agent: it stops what is ours and belongs to no workload, and keeps the rest. With --previous it stops
what was started before this agent too, with --all everything; what is expected is then started anew.
Without one: every process that proves to be ours is stopped, and its record cleared. Use it before removing Sluice.
Each is asked to end, waited for, and killed only then. Marks of starts (.session-….mark) of which nothing is left go too.

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
  const wanted = toWish(flags);
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

function toWish({ dryRun, previous, all, tunnel }: CleanupFlags): CleanupWish {
  const given = [previous && "--previous", all && "--all", tunnel !== undefined && "--tunnel"].filter(Boolean);
  if (given.length > 1) {
    throw new AppError("invalid", `${given.join(" and ")} were given; allowed: one of them`, { field: `${given[0]}` });
  }
  return {
    dryRun: dryRun === true,
    scope: all === true || tunnel !== undefined ? "all" : previous === true ? "previous" : "strays",
    ...(tunnel === undefined ? {} : { tunnel }),
  };
}

const OUTCOMES: Readonly<Record<CleanupResult["processes"][number]["outcome"], string>> = {
  kept: "kept",
  stopped: "stopped",
  "would-stop": "would be stopped",
  unkillable: "COULD NOT BE STOPPED",
};

export function renderCleanup({ processes, marksRemoved = 0 }: CleanupResult): string {
  const marks =
    marksRemoved === 0
      ? ""
      : `Removed ${marksRemoved === 1 ? "1 mark" : `${marksRemoved} marks`} of starts of which nothing is left.\n`;
  if (processes.length === 0) return `No process of ours is here.\n${marks}`;
  const lines = processes
    .map(({ pid, label = `pid ${pid}`, workloadId, generation, outcome, reason }) => {
      return `${label} (${workloadId}, generation ${generation}) ${OUTCOMES[outcome]}: ${reason}\n`;
    })
    .join("");
  return `${lines}${marks}`;
}
