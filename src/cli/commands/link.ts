import { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { formatDuration } from "../duration.ts";
import { askKeeper, type FoundLink, findLinks } from "../link/ask-keeper.ts";
import { openLinkDirectory } from "../link/link-place.ts";
import { countOf, printJson, viewOf } from "../output.ts";
import { type Column, renderTable } from "../render-table.ts";

interface Flags {
  readonly json?: boolean;
}

const COLUMNS: readonly Column<FoundLink>[] = [
  { head: "PID", text: ({ pid }) => pid, rank: 5, align: "right" },
  { head: "HUB", text: ({ hub }) => hub, rank: 4, least: 12 },
  { head: "USE", text: useText, rank: 3, least: 12 },
  { head: "AGE", text: ({ ageSeconds }) => formatDuration(ageSeconds), rank: 2 },
  { head: "VERSION", text: ({ version }) => version, rank: 1 },
];

function useText({ commands, endsInSeconds }: FoundLink): string {
  return endsInSeconds === undefined
    ? `by ${countOf(commands, "command")}`
    : `ends in ${formatDuration(endsInSeconds)}`;
}

export function linkCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("link").description("links to hubs that stay behind commands: look, end");
  command
    .command("ls")
    .description("list the links that are kept here for this user")
    .option("--json", "print JSON")
    .action(async (flags: Flags) => finish(await runLinkList(flags, context)));
  command
    .command("stop")
    .description("end kept links; commands that use one go on")
    .argument("[pid]", "only the one of this process")
    .option("--json", "print JSON")
    .action(async (pid: string | undefined, flags: Flags) => finish(await runLinkStop(pid, flags, context)));
  return command.addHelpText(
    "after",
    `
The first exec, forward, rsh or rsync to a hub leaves its connections to a small process, which the next one uses: it begins in a fraction
of the time. It ends by itself ten minutes after its last use (--persist, SLUICE_PERSIST). How it works: docs/remote.md.`,
  );
}

export async function runLinkList({ json }: Flags, context: CommandContext): Promise<number> {
  const links = await linksHere(context);
  if (json === true) {
    printJson(context.io, { items: links.map(toItem) });
    return 0;
  }
  if (links.length === 0) {
    context.io.write("No link is kept here.\n");
    return 0;
  }
  context.io.write(renderTable(links, COLUMNS, viewOf(context)));
  return 0;
}

export async function runLinkStop(
  given: string | undefined,
  { json }: Flags,
  context: CommandContext,
): Promise<number> {
  const links = await linksHere(context);
  const meant = given === undefined ? links : links.filter(({ pid }) => String(pid) === given);
  if (given !== undefined && meant.length === 0) {
    throw new AppError("not-found", `no kept link has process ${JSON.stringify(given)}; sluice link ls shows all`);
  }
  const stopped: FoundLink[] = [];
  for (const link of meant) {
    const told = await askKeeper(link.path, "stop", context.clock);
    if (told?.kind === "stopped") stopped.push(link);
  }
  if (json === true) printJson(context.io, { items: stopped.map(({ pid, hub }) => ({ pid, hub, stopped: true })) });
  else if (stopped.length === 0) context.io.write("No link is kept here.\n");
  else context.io.write(stopped.map(({ pid, hub }) => `the link to ${hub} (process ${pid}) is ended\n`).join(""));
  return stopped.length === meant.length ? 0 : 1;
}

async function linksHere({ clock, env, facts, remote }: CommandContext): Promise<readonly FoundLink[]> {
  if (remote.links === undefined) return [];
  const { userId } = remote.links;
  const directory = openLinkDirectory({ env, homeDirectory: facts.homeDirectory, userId }, false);
  return directory.path === undefined ? [] : findLinks(directory.path, clock);
}

function toItem({ pid, hub, version, commands, ageSeconds, endsInSeconds }: FoundLink) {
  return { pid, hub, version, commands, ageSeconds, ...(endsInSeconds === undefined ? {} : { endsInSeconds }) };
}
