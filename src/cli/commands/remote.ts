import { Command, Option } from "commander";
import { REMOTE_STATES, type RemoteView } from "../../contract/fleet/remote.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { findBox, orNothing } from "../find-box.ts";
import { findRemote } from "../find-remote.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect, printJson } from "../output.ts";
import { renderRemote, renderRemotes } from "../remote-views.ts";
import { show, type WatchFlags } from "../show.ts";

interface ListFlags extends WatchFlags {
  readonly box?: string;
  readonly state?: string;
}

export function remoteCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("remote").description("open remote sessions: look, end");
  addHubFlags(command.command("ls"))
    .description("list remote sessions: who reaches which box, what for, since when")
    .option("-b, --box <box>", "only those to this box")
    .addOption(new Option("--state <state>", "only those in this state").choices([...REMOTE_STATES]))
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (flags: ListFlags) => finish(await runRemoteList(flags, context)));
  addHubFlags(command.command("show"))
    .description("show a remote session")
    .argument("<remote>")
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (remote: string, flags: WatchFlags) => finish(await runRemoteShow(remote, flags, context)));
  addHubFlags(command.command("kill"))
    .description("end remote sessions: their commands are ended on the boxes, a detached one too")
    .argument("<remote...>")
    .action(async (remotes: string[], flags: HubFlags) => finish(await runRemoteKill(remotes, flags, context)));
  return command.addHelpText(
    "after",
    `
REMOTE is the id of a session, and may be shortened as the names of boxes. How they work: docs/remote.md.`,
  );
}

export async function runRemoteList(flags: ListFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const box = flags.box === undefined ? undefined : (await findBox(hub, flags.box, context.signal)).id;
  return show(flags, { hub, context }, async (signal) => {
    const items = await collect(hub.remote.list({ box, state: flags.state }, signal));
    return { json: { items }, text: (view) => renderRemotes(items, view) };
  });
}

export async function runRemoteShow(given: string, flags: WatchFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const { id } = await findRemote(hub, given, context.signal);
  return show(flags, { hub, context }, async (signal) => {
    const remote = await hub.remote.get(id, signal);
    return { json: remote, text: (view) => renderRemote(remote, view) };
  });
}

export async function runRemoteKill(
  given: readonly string[],
  flags: HubFlags,
  context: CommandContext,
): Promise<number> {
  const { io, signal } = context;
  const hub = await openHub(flags, context);
  const found: RemoteView[] = [];
  for (const text of given) found.push(await findRemote(hub, text, signal));
  for (const { id } of found) await hub.remote.end(id, signal).catch(orNothing);
  if (flags.json === true) printJson(io, { items: found.map(({ id, box }) => ({ id, box, ended: true })) });
  else io.write(found.map(({ id, box }) => `remote session ${id} to ${box} is ended\n`).join(""));
  return 0;
}
