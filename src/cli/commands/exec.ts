import { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import type { RemoteOperation } from "../../contract/remote/operation.ts";
import type { OpenWhat } from "../../remote/open-what.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addHubFlags } from "../hub-session.ts";
import { addPersistFlag, type PersistFlags } from "../link/persist.ts";
import { printJson } from "../output.ts";
import { gather, parseDurationSeconds, parseWhole } from "../parse-values.ts";
import type { Console } from "../remote/console.ts";
import { type ExecFlags, planExec } from "../remote/exec-flags.ts";
import { forwardSignals } from "../remote/forward-signals.ts";
import { outcomeOfFailure } from "../remote/judge-exit.ts";
import { limitTime } from "../remote/limit-time.ts";
import { createVoice, openReach, type Reach } from "../remote/reach-box.ts";
import { failure, failureOf } from "../remote/remote-failure.ts";
import { reportOutcome, withRemoteExits } from "../remote/report-outcome.ts";
import { type RunningExec, runExec } from "../remote/run-exec.ts";
import { addSealFlags, parseSealFlags } from "../remote/seal-flags.ts";

interface Flags extends ExecFlags, PersistFlags {
  readonly attach?: string;
  readonly statusFd?: string;
  readonly verbose?: boolean;
  readonly label?: readonly string[];
  readonly all?: boolean;
  readonly parallel: string;
  readonly timeout?: string;
}

const DEFAULT_PARALLEL = "8";
/** Sessions that one user may have open. */
const MAX_PARALLEL = 16;

export function execCommand(context: CommandContext, finish: Finish): Command {
  return addPersistFlag(addSealFlags(addHubFlags(new Command("exec"))))
    .description("run a command on a box, or on many, or open a shell there")
    .usage(
      "[options] BOX [-- PROGRAM [ARGUMENT…]]\n       sluice exec [options] (--label KEY=VALUE… | --all) -- PROGRAM [ARGUMENT…]",
    )
    .argument("[box]")
    .argument("[program...]")
    .option("-i, --interactive", "read standard input even where it is a terminal")
    .option("-t, --tty", "on a terminal of its own: line editing, colours, full-screen programs")
    .option("--no-stdin", "let it read end of file at once")
    .option("-u, --user <user>", "as this user of the box, where its policy allows; else the agent's own")
    .option("--cwd <directory>", "in this directory of the box")
    .option(
      "-e, --env <name=value>",
      "set a variable; NAME alone: with its value here; may be given several times",
      gather,
    )
    .option("-d, --detach", "let it go on without us; prints the session, for --attach")
    .option(
      "--attach <session>",
      "go on with a command that was detached: its output from the oldest that is kept, its end",
    )
    .option("--status-fd <number>", "write how it ended to this descriptor, as one line of JSON")
    .option("-l, --label <key=value>", "on all boxes with this label; may be given several times", gather)
    .option("--all", "on all boxes")
    .option("--parallel <number>", `on so many boxes at once, at most ${MAX_PARALLEL}`, DEFAULT_PARALLEL)
    .option("--timeout <duration>", "stop it after so long")
    .option("-v, --verbose", "say how it ended, and what is waited for")
    .addHelpText(
      "after",
      `
Exit status: the program's own; 128 + n when signal n ended it; 250 the link was lost and its end is not known; 251 output
is missing; 252 nothing was begun, or it took too long; 253 not allowed; 254 wrong arguments. On many boxes: 0 when all are 0, else 1.

Without -t every byte goes through as it is, and a signal to this program goes to the command. With -t, at the beginning of a line:
~. leaves, ~? helps.

Examples:
  sluice exec north-1 -- uptime
  sluice exec north-1 -t -- htop
  tar c site | sluice exec north-1 -- tar x -C /srv
  sluice exec --label site=north -- systemctl is-active nginx`,
    )
    .action(async (box: string | undefined, program: string[], flags: Flags) =>
      finish(await withRemoteExits(context, () => runExecCommand(box, program, flags, context))),
    );
}

export async function runExecCommand(
  box: string | undefined,
  program: readonly string[],
  flags: Flags,
  context: CommandContext,
): Promise<number> {
  const isMany = flags.all === true || flags.label !== undefined;
  const limitSeconds = flags.timeout === undefined ? undefined : parseDurationSeconds(flags.timeout, "--timeout");
  const statusFd =
    flags.statusFd === undefined ? undefined : parseWhole(flags.statusFd, { field: "--status-fd", min: 1, max: 1023 });
  if (isMany) {
    refuseWithMany(flags);
    const parallel = parseWhole(flags.parallel, { field: "--parallel", min: 1, max: MAX_PARALLEL });
    const argv = box === undefined ? program : [box, ...program];
    if (argv.length === 0) throw new AppError("invalid", "name the program to run on the boxes, after --");
    const selector = flags.all === true ? undefined : flags.label?.join(",");
    const { runOnMany } = await import("../remote/exec-many.ts");
    return runOnMany({ argv, selector, parallel, limitSeconds, flags }, context);
  }
  if (box === undefined) throw new AppError("invalid", "name a box, or boxes with --label or --all");
  const console = await context.remote.openConsole();
  const writeStatus = statusFd === undefined ? undefined : console.openStatusDescriptor(statusFd);
  await using reach = await openReach(flags, { joinsItself: false }, context);
  return await runOnOne({ box, program, flags, limitSeconds, writeStatus }, { reach, console, context });
}

interface OneWish {
  readonly box: string;
  readonly program: readonly string[];
  readonly flags: Flags;
  readonly limitSeconds: number | undefined;
  readonly writeStatus: ((line: string) => void) | undefined;
}

async function runOnOne(
  { box, program, flags, limitSeconds, writeStatus }: OneWish,
  { reach, console, context }: { readonly reach: Reach; readonly console: Console; readonly context: CommandContext },
): Promise<number> {
  const { io, clock } = context;
  const { operation, what } = plan(program, flags, { console, context });
  const seal = parseSealFlags(flags);
  const terminal = what.kind === "exec" && what.pty !== undefined ? console.terminal : undefined;
  const isRead = what.kind === "exec" && what.stdin;
  const stop = new AbortController();
  let running: RunningExec | undefined;
  const release = forwardSignals(
    { console, clock },
    {
      running: () => running,
      giveUp: (name) => stop.abort(failure("unreachable", "cancelled", `SIG${name} came before anything was begun`)),
    },
  );
  const report = { writeStatus, isErrorTerminal: console.isErrorTerminal, verbose: flags.verbose };
  try {
    const signal = AbortSignal.any([context.signal, stop.signal]);
    const voice = createVoice(context, flags.verbose === true || console.isErrorTerminal);
    const lane = terminal === undefined ? "bulk" : "interactive";
    const wish = { box, create: { operation }, lane, ...seal } as const;
    const link = await reach.open(wish, voice, signal);
    running = runExec(
      what,
      { stdin: isRead ? console.stdin : undefined, stdout: console.stdout, stderr: console.stderr, terminal },
      { link, clock },
    );
    if (flags.detach === true) {
      const { pid } = await running.opened;
      await link.close();
      if (flags.json === true) printJson(io, { session: link.id, box: link.box, pid });
      else io.write(`${link.id}\n`);
      voice.hint(
        `it goes on as process ${pid}; sluice exec ${link.box} --attach ${link.id} shows its output and its end`,
      );
      return 0;
    }
    void running.opened.then(
      ({ droppedBytes }) =>
        droppedBytes > 0 && voice.tell(`${droppedBytes} bytes of its output are no longer kept; what follows is newer`),
      () => undefined,
    );
    return reportOutcome(await limitTime(running, limitSeconds, clock), report, io);
  } catch (thrown) {
    const reason: unknown = stop.signal.aborted ? stop.signal.reason : thrown;
    return reportOutcome(outcomeOfFailure(failureOf(reason)), report, io);
  } finally {
    release();
  }
}

function plan(
  program: readonly string[],
  flags: Flags,
  { console, context }: { readonly console: Console; readonly context: CommandContext },
): { readonly operation: RemoteOperation; readonly what: OpenWhat } {
  if (flags.attach !== undefined) {
    if (program.length > 0) throw new AppError("invalid", "--attach: the command runs already; leave out the program");
    return { operation: { kind: "attach", session: flags.attach }, what: { kind: "attach" } };
  }
  return planExec(flags, program, {
    env: context.env,
    terminal: console.terminal,
    isInputTerminal: console.isInputTerminal,
  });
}

function refuseWithMany(flags: Flags): void {
  const given = [
    ["-t", flags.tty],
    ["-i", flags.interactive],
    ["--detach", flags.detach],
    ["--attach", flags.attach !== undefined],
    ["--box-key", flags.boxKey !== undefined],
    ["--status-fd", flags.statusFd !== undefined],
    ["--all with --label", flags.all === true && flags.label !== undefined],
  ] as const;
  const [name] = given.find(([, isGiven]) => isGiven === true) ?? [];
  if (name !== undefined) throw new AppError("invalid", `${name}: not for many boxes at once; name one box`);
}
