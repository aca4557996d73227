import { Command, Option } from "commander";
import { AppError } from "../../base/errors.ts";
import type { HubClient } from "../../client/hub-client.ts";
import { SESSION_STATES, type SessionView } from "../../contract/fleet/session.ts";
import { SESSION_PLATFORMS } from "../../contract/session-spec.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { findBox, orNothing } from "../find-box.ts";
import { findSession } from "../find-session.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect, printJson } from "../output.ts";
import { parseDurationSeconds } from "../parse-values.ts";
import { renderEndpoints, renderSession, renderSessions } from "../session-views.ts";
import { show, type WatchFlags } from "../show.ts";
import { waitForSession } from "../wait-for-session.ts";
import { runLogs } from "./logs.ts";
import { addSessionForward } from "./session-forward.ts";
import { addSessionStart } from "./session-start.ts";
import { addSessionTranslate } from "./session-translate.ts";

interface ListFlags extends WatchFlags {
  readonly box?: string;
  readonly user?: string;
  readonly state?: string;
  readonly platform?: string;
}

interface TurnFlags extends HubFlags {
  readonly wait?: string | boolean;
}

interface StopFlags extends TurnFlags {
  readonly deleteVolumes?: boolean;
  readonly keepVolumes?: boolean;
}

interface LogFlags extends HubFlags {
  readonly follow?: boolean;
  readonly tail?: string;
  readonly since?: string;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
}

const DEFAULT_WAIT = "60s";
const WAIT = ["--wait [duration]", "wait until its box has done it, 60 s at the most unless told otherwise"] as const;

export function sessionCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("session").description(
    "applications on boxes: start, look, reach, hibernate, wake, stop, translate",
  );
  addSessionStart(command, context, finish);
  addListing(command, context, finish);
  addTurns(command, context, finish);
  addSessionForward(command, context, finish);
  addSessionTranslate(command, context, finish);
  return command.addHelpText(
    "after",
    `
SESSION is an id or a name, and may be shortened as those of boxes. States: unplaced (no box can take it; show says why),
pending, starting, running, degraded, failing, refused, hibernating, hibernated, waking, ended, stopping, lost (its box is not
heard). How sessions work: docs/sessions.md.`,
  );
}

function addListing(command: Command, context: CommandContext, finish: Finish): void {
  addHubFlags(command.command("ls"))
    .description("list sessions with state, box, endpoint and when they hibernate by themselves")
    .option("-b, --box <box>", "only those of one box")
    .option("-u, --user <user>", "only those of one user")
    .addOption(new Option("--state <state>", "only those in this state").choices([...SESSION_STATES]))
    .addOption(new Option("--platform <platform>", "only those that run on it").choices([...SESSION_PLATFORMS]))
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (flags: ListFlags) => finish(await runSessionList(flags, context)));
  addHubFlags(command.command("show"))
    .description("show a session: endpoints, sleep, use, limits, last exit, and why it is where it is")
    .argument("<session>")
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (session: string, flags: WatchFlags) => finish(await runSessionShow(session, flags, context)));
  addHubFlags(command.command("logs"))
    .description("print the last lines of what the application wrote")
    .argument("<session>")
    .option("-f, --follow", "go on with what is written from now on, across restarts and hibernation, until Ctrl-C")
    .option("-n, --tail <number>", "how many lines to begin with (default: 100)")
    .option("--since <time>", "nothing before it, such as 15m or 2026-01-15T10:00:00Z")
    .option("--stdout", "only what it wrote to its standard output")
    .option("--stderr", "only what it wrote to its standard error")
    .action(async (session: string, flags: LogFlags) => finish(await runSessionLogs(session, flags, context)));
}

interface Turn {
  readonly said: string;
  readonly until: "running" | "hibernated" | "gone";
  readonly act: (hub: HubClient, id: string, signal: AbortSignal) => Promise<SessionView | undefined>;
}

const HIBERNATE: Turn = {
  said: "is to hibernate",
  until: "hibernated",
  act: (hub, id, signal) => hub.sessions.turn(id, "hibernate", signal),
};
const WAKE: Turn = {
  said: "is to wake",
  until: "running",
  act: (hub, id, signal) => hub.sessions.turn(id, "wake", signal),
};

function addTurns(command: Command, context: CommandContext, finish: Finish): void {
  addHubFlags(command.command("stop"))
    .description("end sessions and forget them")
    .argument("<session...>")
    .option("--delete-volumes", "delete their volumes with them, whatever their specs say")
    .addOption(new Option("--keep-volumes", "keep their volumes, whatever their specs say").conflicts("deleteVolumes"))
    .option(...WAIT)
    .action(async (sessions: string[], flags: StopFlags) => {
      const volumes = flags.deleteVolumes === true ? "delete" : flags.keepVolumes === true ? "keep" : undefined;
      const act: Turn["act"] = (hub, id, signal) => hub.sessions.remove(id, { volumes }, signal).catch(orNothing);
      finish(await turnEach(sessions, flags, context, { said: "is to stop", until: "gone", act }));
    });
  for (const [verb, description, turn] of [
    ["hibernate", "give back what sessions use, and keep what they are", HIBERNATE],
    ["wake", "have hibernated sessions run again, with their files", WAKE],
  ] as const) {
    addHubFlags(command.command(verb))
      .description(description)
      .argument("<session...>")
      .option(...WAIT)
      .action(async (sessions: string[], flags: TurnFlags) => finish(await turnEach(sessions, flags, context, turn)));
  }
  addHubFlags(command.command("touch"))
    .description("say that a session is used, so that it does not hibernate for a while")
    .argument("<session>")
    .action(async (session: string, flags: HubFlags) => finish(await runSessionTouch(session, flags, context)));
}

export async function runSessionList(flags: ListFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const { user, state, platform } = flags;
  const box = flags.box === undefined ? undefined : (await findBox(hub, flags.box, context.signal)).id;
  return show(flags, { hub, context }, async (signal) => {
    const items = await collect(hub.sessions.list({ box, user, state, platform }, signal));
    return { json: { items }, text: (view) => renderSessions(items, view) };
  });
}

export async function runSessionShow(given: string, flags: WatchFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const { id } = await findSession(hub, given, context.signal);
  return show(flags, { hub, context }, async (signal) => {
    const session = await hub.sessions.get(id, signal);
    return { json: session, text: (view) => renderSession(session, view) };
  });
}

export async function runSessionLogs(given: string, flags: LogFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const { id, box, reason } = await findSession(hub, given, context.signal);
  if (box !== undefined) return runLogs([box, id], flags, context);
  const why = reason === undefined ? "" : `: ${reason}`;
  throw new AppError("unavailable", `session ${id} is on no box, so there is no log of it${why}`);
}

export async function runSessionTouch(given: string, flags: HubFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const { id } = await findSession(hub, given, context.signal);
  const session = await hub.sessions.turn(id, "touch", context.signal);
  if (flags.json === true) printJson(context.io, session);
  else context.io.write(`session ${id} counts as used\n`);
  return 0;
}

/** All names are resolved before anything is changed. */
async function turnEach(
  names: readonly string[],
  flags: TurnFlags,
  context: CommandContext,
  { said, until, act }: Turn,
): Promise<number> {
  const { io, signal } = context;
  const limitSeconds = waitOf(flags.wait);
  const hub = await openHub(flags, context);
  const found: SessionView[] = [];
  for (const name of names) found.push(await findSession(hub, name, signal));
  // All are asked before any is waited for: they stop at the same time.
  const asked: (SessionView | undefined)[] = [];
  for (const { id } of found) asked.push(await act(hub, id, signal));
  const items: unknown[] = [];
  for (const [index, { id }] of found.entries()) {
    const session =
      limitSeconds === undefined ? asked[index] : await waitForSession({ id, until, limitSeconds }, hub, context);
    items.push(session ?? { id, removed: true });
    if (flags.json === true) continue;
    if (limitSeconds === undefined) io.write(`session ${id} ${said}\n`);
    else if (session === undefined) io.write(`session ${id} is stopped\n`);
    else io.write(`session ${id} is ${session.state}\n${until === "running" ? renderEndpoints(session) : ""}`);
  }
  if (flags.json === true) printJson(io, items.length === 1 ? items[0] : { items });
  return 0;
}

/** Seconds; `undefined`: not at all. */
function waitOf(wait: string | boolean | undefined): number | undefined {
  if (wait === undefined || wait === false) return undefined;
  return parseDurationSeconds(wait === true ? DEFAULT_WAIT : wait, "--wait");
}
