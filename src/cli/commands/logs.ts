import { Command, InvalidArgumentError } from "commander";
import { oneLine } from "../../base/log.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addPlaceFlags, type PlaceFlags, withAgent } from "../find-agent.ts";

export interface LogsFlags extends PlaceFlags {
  readonly follow?: boolean;
  readonly lines: number;
}

const DEFAULT_LINES = 100;
const MAX_LINES = 100_000;

export function logsCommand(context: CommandContext, finish: Finish): Command {
  return addPlaceFlags(new Command("logs"))
    .description("print the last lines of a workload's own output, or of the agent's log")
    .argument("[id]", "the workload; `agent` for the agent itself", "agent")
    .option("-f, --follow", "go on with what is written from now on, across rotation, until Ctrl-C")
    .option("-n, --lines <number>", "how many lines to begin with", parseLines, DEFAULT_LINES)
    .action(async (id: string, flags: LogsFlags) => finish(await runLogs({ ...flags, id }, context)));
}

export async function runLogs(flags: LogsFlags & { readonly id: string }, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const options = { lines: flags.lines, follow: flags.follow === true };
  return withAgent(flags, context, async (agent) => {
    for await (const text of agent.logs(flags.id, options, signal)) {
      io.write(io.isTerminal ? withoutTerminalCodes(text) : text);
    }
    if (options.follow && !signal.aborted) {
      io.writeError("sluice: the agent has stopped; this log ends here\n");
      return 69;
    }
    return 0;
  });
}

/** What a camera or a server made FFmpeg print must not drive the reader's terminal. */
function withoutTerminalCodes(text: string): string {
  return text
    .split("\n")
    .map((line) => oneLine(line))
    .join("\n");
}

function parseLines(text: string): number {
  const lines = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (lines <= MAX_LINES) return lines;
  throw new InvalidArgumentError(`It must be a whole number from 0 to ${MAX_LINES}.`);
}
