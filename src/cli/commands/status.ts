import { Command } from "commander";
import { AppError, messageOf } from "../../base/errors.ts";
import { formatWallTime } from "../../base/log.ts";
import type { LocalAgent } from "../../client/local-agent.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addPlaceFlags, type PlaceFlags, withAgent } from "../find-agent.ts";

export interface StatusFlags extends PlaceFlags {
  readonly json?: boolean;
  readonly watch?: boolean;
}

const WATCH_PERIOD_MS = 1000;
const CLEAR_SCREEN = "\u001b[H\u001b[2J\u001b[3J";

export function statusCommand(context: CommandContext, finish: Finish): Command {
  return addPlaceFlags(new Command("status"))
    .description("show the link, what is expected, and every workload with its state and cause")
    .option("--json", "print the agent's answer as JSON (with --watch: one line each second)")
    .option("-w, --watch", "show it again each second, until Ctrl-C")
    .addHelpText(
      "after",
      `
States of a workload:
  running     proved to do its work            degraded    works, but slower than real time
  starting    launched, no media seen yet      stalled     its process lives and nothing moves
  waiting     not running; the next start is due at the time shown, or when the resource guard finds room
  stopping    told to stop, not yet gone       unkillable  survived SIGKILL; nothing is started in its place
  refused     this box's policy or the spec itself does not allow it

Why a workload is in its state: sluice explain ID`,
    )
    .action(async (flags: StatusFlags) => finish(await runStatus(flags, context)));
}

export async function runStatus(flags: StatusFlags, context: CommandContext): Promise<number> {
  return withAgent(flags, context, async (agent) => {
    if (flags.watch === true) return watch(agent, flags, context);
    context.io.write(await show(agent, flags, context));
    return 0;
  });
}

/** An agent that goes away is shown as such: it may be about to come back. */
async function watch(agent: LocalAgent, flags: StatusFlags, context: CommandContext): Promise<number> {
  const { io, clock, signal } = context;
  const begin = io.isTerminal && flags.json !== true ? CLEAR_SCREEN : "";
  while (!signal.aborted) {
    const text = await show(agent, flags, context).catch((error: unknown) => {
      if (!(error instanceof AppError)) throw error;
      return `${formatWallTime(clock.wallMs())}  ${messageOf(error)}\n`;
    });
    if (signal.aborted) break;
    io.write(`${begin}${text}`);
    await clock.delay(WATCH_PERIOD_MS, signal).catch(() => undefined);
  }
  return 0;
}

async function show(agent: LocalAgent, flags: StatusFlags, { io, clock, signal }: CommandContext): Promise<string> {
  const status = await agent.status(signal);
  if (flags.json === true) return `${JSON.stringify(status, undefined, flags.watch === true ? undefined : 2)}\n`;
  // The agent itself is a command too, and has no use for a library of tables.
  const { renderStatus } = await import("../render-status.ts");
  return renderStatus(status, { hasColour: io.hasColour, nowMs: clock.wallMs() });
}
