import { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import { formatWallTime, oneLine } from "../../base/log.ts";
import type { HubClient } from "../../client/hub-client.ts";
import type { HubEventView } from "../../contract/fleet/hub-event.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { printJson, printJsonLine, viewOf } from "../output.ts";
import { parseWhole } from "../parse-values.ts";

interface EventFlags extends HubFlags {
  readonly follow?: boolean;
  readonly after?: string;
  readonly limit: string;
}

const RECONNECT_MS = 2000;

export function eventsCommand(context: CommandContext, finish: Finish): Command {
  return addHubFlags(new Command("events"))
    .description("what happens in the fleet: boxes that come and go, changes, incidents, alerts")
    .option("-f, --follow", "go on with what happens from now on, until Ctrl-C")
    .option("--after <cursor>", "go on after this event, as --json shows its cursor")
    .option("--limit <number>", "without --follow: the last so many; after a cursor, the next", "100")
    .addHelpText(
      "after",
      `
With --follow a connection that breaks is made again, and goes on where it was: nothing is missed or told twice.
With --follow --json each event is one line.`,
    )
    .action(async (flags: EventFlags) => finish(await runEvents(flags, context)));
}

export async function runEvents(flags: EventFlags, context: CommandContext): Promise<number> {
  const limit = parseWhole(flags.limit, { field: "--limit", min: 1, max: 1000 });
  const hub = await openHub(flags, context);
  const { io, signal } = context;
  if (flags.follow !== true) {
    const page = await hub.events.page({ after: flags.after, limit, recent: true }, signal);
    if (flags.json === true) printJson(io, page);
    else for (const event of page.items) io.write(line(event, context));
    return 0;
  }
  await follow(hub, flags, context);
  return 0;
}

async function follow(hub: HubClient, flags: EventFlags, context: CommandContext): Promise<void> {
  const { io, clock, signal } = context;
  let after = flags.after;
  while (!signal.aborted) {
    try {
      for await (const event of hub.events.follow(after, signal)) {
        after = event.cursor;
        if (flags.json === true) printJsonLine(io, event);
        else io.write(line(event, context));
      }
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== "unavailable") throw error;
      io.writeError(`sluice: ${error.message}; trying again\n`);
    }
    await clock.delay(RECONNECT_MS, signal).catch(() => undefined);
  }
}

function line({ at, kind, text }: HubEventView, context: CommandContext): string {
  const { paint } = viewOf(context);
  return `${paint("quiet", formatWallTime(Date.parse(at)))}  ${kind.padEnd(18)}  ${oneLine(text)}\n`;
}
