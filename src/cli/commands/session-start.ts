import { type Command, Option } from "commander";
import { AppError } from "../../base/errors.ts";
import type { HubClient } from "../../client/hub-client.ts";
import { parseSessionFile } from "../../config/session-file.ts";
import type { SessionView, SessionWish } from "../../contract/fleet/session.ts";
import { IDENTIFIER_PATTERN } from "../../contract/identifier-pattern.ts";
import { HIBERNATION_DEPTHS, RESTART_RULES, SESSION_PLATFORMS } from "../../contract/session-spec.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { findBox } from "../find-box.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect, printJson } from "../output.ts";
import { parseVariablesFile } from "../parse-session-parts.ts";
import { gather, parseDurationSeconds } from "../parse-values.ts";
import { readGivenFile } from "../read-given-file.ts";
import { freeId, type SessionFlags, sessionFromFlags } from "../session-from-flags.ts";
import { renderEndpoints, renderPlacement } from "../session-views.ts";
import { stateText, waitForSession } from "../wait-for-session.ts";

interface StartFlags extends HubFlags, SessionFlags {
  readonly file?: string;
  readonly box?: string;
  readonly envFile?: readonly string[];
  readonly replace?: boolean;
  readonly dryRun?: boolean;
  readonly wait?: string | boolean;
}

/** Long enough for an image to be fetched. */
const DEFAULT_WAIT = "5m";

export function addSessionStart(command: Command, context: CommandContext, finish: Finish): void {
  addHubFlags(command.command("start"))
    .description("have a box run an application, and keep it running")
    .argument("[id]", "small letters, digits and dashes; made of the image's or the program's name when left out")
    .argument("[command...]", "after --: the program and its arguments; with --image, arguments for its entry point")
    .option("-f, --file <file>", "the session as YAML or JSON, - is standard input; flags win over it")
    .option("--image <image>", "image for Docker or Podman")
    .option("-b, --box <box>", "the box that runs it; else the hub chooses one")
    .option("--select <selector>", "choose among boxes whose labels match")
    .option("-u, --user <user>", "whose it is; the name of the token when left out")
    .option("--name <name>", "a name for people")
    .option(
      "-p, --port <port>",
      "[NAME=][[ADDRESS:][HOSTPORT]:]PORT[/udp or /SCHEME]; may be given several times",
      gather,
    )
    .option("-e, --env <variable>", "NAME=VALUE, or NAME alone to take it from here; several times", gather)
    .option("--env-file <file>", "variables, one NAME=VALUE a line; several times", gather)
    .option("-v, --volume <volume>", "NAME:PATH or /DIRECTORY:PATH, then :ro or :delete; several times", gather)
    .option("--workdir <path>", "working directory of the application")
    .option("--cpu <amount>", "processors at most: 500m, 2")
    .option("--memory <amount>", "memory at most: 256Mi, 2Gi")
    .option("--gpus <number>", "GPUs of its own")
    .option("--idle <span>", "hibernate when unused for so long: 30m")
    .option("--active-cpu <percent>", "processor time above this counts as use")
    .option("--max <span>", "end after so long: 8h")
    .addOption(
      new Option("--platform <platform>", "what runs it; else what the box has").choices([...SESSION_PLATFORMS]),
    )
    .addOption(
      new Option("--restart <rule>", "when it is started again; always when left out").choices([...RESTART_RULES]),
    )
    .addOption(
      new Option("--hibernation <depth>", "what hibernation keeps; stopped when left out").choices([
        ...HIBERNATION_DEPTHS,
      ]),
    )
    .addOption(
      new Option("--on-lost <rule>", "when its box is not heard for two minutes; wait when left out").choices([
        "wait",
        "move",
      ]),
    )
    .option("--replace", "also where there is a session of this id: it gets this form")
    .option("--dry-run", "only say where it would run, and why not elsewhere")
    .option("--wait [duration]", "wait until it runs, 5 min at the most unless told otherwise")
    .addHelpText(
      "after",
      `
What stands on a command line can be read by every user of this machine: take secrets from --env NAME, --env-file or --file.

Examples:
  sluice session start web --image nginx:1.27 --port 8080:80/http --memory 256Mi --idle 30m --wait
  sluice session start player --box north-1 --volume clips:media -- ffplay -loop 0 media/clip.mp4
  sluice session start -f browser.yaml --box lobby --dry-run`,
    )
    .action(async (id: string | undefined, words: string[], flags: StartFlags, own: Command) => {
      const line = splitAtDashes(id === undefined ? [] : [id, ...words], typedOf(own));
      finish(await runSessionStart(line, flags, context));
    });
}

export interface StartLine {
  readonly id: string | undefined;
  /** What stands after `--`. */
  readonly command: readonly string[];
}

/** The words of the whole command line; commander keeps them at its root, and leaves the `--` out of all else. */
function typedOf(command: Command): readonly unknown[] {
  let root = command;
  while (root.parent !== null) root = root.parent;
  return "rawArgs" in root && Array.isArray(root.rawArgs) ? root.rawArgs : [];
}

/** Throws `invalid` for more than an id before the `--`. */
export function splitAtDashes(words: readonly string[], typed: readonly unknown[]): StartLine {
  const at = typed.indexOf("--");
  const count = at < 0 ? 0 : typed.length - at - 1;
  const before = words.slice(0, words.length - count);
  const [id, extra] = before;
  if (extra !== undefined) {
    const message = `COMMAND: given ${JSON.stringify(extra)} after the id; allowed: -- and then the program with its arguments`;
    throw new AppError("invalid", message, { field: "COMMAND" });
  }
  return { id, command: words.slice(before.length) };
}

export async function runSessionStart(line: StartLine, flags: StartFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const limitSeconds = waitOf(flags.wait);
  const file = flags.file === undefined ? undefined : await readGivenFile(flags.file, "--file", context);
  const held = file === undefined ? {} : parseSessionFile(file.path, file.text);
  const variables = await readVariables(flags.envFile ?? [], context);
  const hub = await openHub(flags, context);
  const wish = sessionFromFlags(flags, {
    ...line,
    file: held,
    box: flags.box === undefined ? undefined : (await findBox(hub, flags.box, signal)).id,
    variables,
    environment: context.env,
    user: held.user === undefined && flags.user === undefined ? await ownName(hub, signal) : "",
  });
  const isNamed = line.id !== undefined || held.id !== undefined;
  const named = isNamed ? wish : { ...wish, id: freeId(wish.id, await idsOf(hub, signal)) };
  if (flags.dryRun === true) return preview(named, flags, hub, context);
  const made =
    flags.replace === true
      ? await hub.sessions.put(named.id, { body: named }, signal)
      : await hub.sessions.create(named, signal);
  const { id } = made;
  const isForPeople = flags.json !== true;
  const tell = isForPeople ? createTeller() : () => "";
  io.write(tell(made));
  const session =
    limitSeconds === undefined
      ? made
      : ((await waitForSession({ id, until: "running", limitSeconds, tell }, hub, context)) ?? made);
  if (isForPeople) io.write(renderEndpoints(session));
  else printJson(io, session);
  return 0;
}

/** One line for each state and reason that is new. The digits of a reason move while an image is fetched, and are no news. */
function createTeller(): (session: SessionView) => string {
  let told = "";
  let toldBox: string | undefined;
  return (session) => {
    const { box, placement } = session;
    const lines: string[] = [];
    if (box !== undefined && box !== toldBox) {
      lines.push(
        `session ${session.id} is placed on ${box}${placement === undefined ? "" : `: ${placement.reason}`}\n`,
      );
      toldBox = box;
    }
    const text = stateText(session);
    const key = text.replace(/\d+/g, "#");
    if (key !== told) lines.push(`${text}\n`);
    told = key;
    return lines.join("");
  };
}

async function preview(
  wish: SessionWish,
  flags: StartFlags,
  hub: HubClient,
  { io, signal }: CommandContext,
): Promise<number> {
  const isSame = flags.replace === true && !(await hub.sessions.compare(wish.id, wish, signal)).changed;
  const placement = await hub.sessions.preview(wish, signal);
  if (flags.json === true) printJson(io, { changed: !isSame, placement });
  else io.write(isSame ? `session ${wish.id} is as it should be\n` : renderPlacement(placement));
  return 0;
}

async function readVariables(paths: readonly string[], context: CommandContext): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const given of paths) {
    const { path, text } = await readGivenFile(given, "--env-file", context);
    Object.assign(all, parseVariablesFile(path, text));
  }
  return all;
}

async function ownName(hub: HubClient, signal: AbortSignal): Promise<string> {
  const { name } = await hub.whoami(signal);
  return IDENTIFIER_PATTERN.test(name) ? name : "operator";
}

async function idsOf(hub: HubClient, signal: AbortSignal): Promise<ReadonlySet<string>> {
  return new Set((await collect(hub.sessions.list({}, signal))).map(({ id }) => id));
}

/** Seconds; `undefined`: not at all. */
function waitOf(wait: string | boolean | undefined): number | undefined {
  if (wait === undefined || wait === false) return undefined;
  return parseDurationSeconds(wait === true ? DEFAULT_WAIT : wait, "--wait");
}
