import { constants } from "node:os";
import { Command, Option } from "commander";
import { AppError } from "../../base/errors.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { printJson } from "../output.ts";
import { parseDurationSeconds } from "../parse-values.ts";
import { withRemoteExits } from "../remote/report-outcome.ts";
import { checkRsyncArguments, quoteRsh } from "../remote/rsync-arguments.ts";
import { addSealFlags, parseSealFlags, type SealFlags, sealArguments } from "../remote/seal-flags.ts";

interface Flags extends SealFlags {
  readonly context?: string;
  readonly json?: boolean;
  readonly daemon?: string;
  readonly name?: string;
  readonly debounce: string;
  readonly rescan: string;
  readonly poll: string;
  readonly status?: boolean;
  readonly stop?: string;
  readonly keep?: string;
}

/** A terminal has told rsync by then, and it has ended. */
const TERMINAL_MS = 1000;

export function rsyncCommand(context: CommandContext, finish: Finish): Command {
  return (
    addSealFlags(new Command("rsync"))
      .description("copy files to and from boxes with rsync, once or on every change")
      .usage("[options] [options of rsync] SRC… DST")
      .argument("[word...]")
      .allowUnknownOption()
      // rsync's own -h means something else.
      .helpOption("--help", "display help for command")
      .option("--context <name>", "the hub to speak with, of those that `sluice context ls` shows (SLUICE_CONTEXT)")
      .option("--json", "print JSON, with --daemon, --status and --stop")
      .option(
        "--daemon <direction>",
        "keep the two directories the same from now on: UP on every change here, DOWN by looking",
      )
      .option("--name <name>", "what it is called; else after the box")
      .option("--debounce <duration>", "UP: changes wait so long for company", "2s")
      .option("--rescan <duration>", "UP: look at everything so often, whatever was seen", "60s")
      .option("--poll <duration>", "DOWN: look so often", "30s")
      .option("--status", "show the directories that are kept in sync")
      .option("--stop <name>", "end one of them; the files stay")
      .addOption(new Option("--keep <name>", "what the daemon itself is called with").hideHelp())
      .addHelpText(
        "after",
        `
SRC and DST are paths here, or BOX:PATH. The box needs rsync, and a policy that allows the path. All other options go to rsync; the
exit status is its own. With --daemon they are one directory each, -a is meant when no option of rsync is given, --bwlimit bounds the
rate, and nothing is deleted without --delete.

Examples:
  sluice rsync -a --delete site/ north-1:/srv/site/
  sluice rsync -a --partial north-1:/var/lib/app/recordings/ recordings/
  sluice rsync --daemon UP -a --delete --bwlimit=2000 site/ north-1:/srv/site/
  sluice rsync --status`,
      )
      .action(async (words: string[], flags: Flags) =>
        finish(await withRemoteExits(context, () => runRsync(words, flags, context))),
      )
  );
}

async function runRsync(words: readonly string[], flags: Flags, context: CommandContext): Promise<number> {
  const isJson = flags.json === true;
  const { keep, status, stop, daemon } = flags;
  if (keep !== undefined) return (await readSyncs()).runSync(keep, context);
  if (status === true) return (await readSyncs()).showSyncs(isJson, context);
  if (stop !== undefined) return (await readSyncs()).stopSync(stop, isJson, context);
  if (daemon !== undefined) return startDaemon(words, { ...flags, daemon }, context);
  if (words.length === 0) throw new AppError("invalid", "name what to copy: sluice rsync [options of rsync] SRC… DST");
  checkRsyncArguments(words);
  const sealed = parseSealFlags(flags);
  const { remote, signal, clock } = context;
  const console = await remote.openConsole();
  const ending = new AbortController();
  const over = new AbortController();
  // The terminal sends the others to rsync as well, which ends by them. Whoever sends one to this program alone means the same.
  const release = console.takeSignals((name) => {
    const waited = name === "TERM" ? Promise.resolve() : clock.delay(TERMINAL_MS, over.signal);
    waited.then(
      () => ending.abort(),
      () => undefined,
    );
  });
  try {
    const env: Record<string, string> = flags.context === undefined ? {} : { SLUICE_CONTEXT: flags.context };
    const args = ["-e", quoteRsh([...remote.self, "rsh", ...sealArguments(sealed)]), ...words];
    const { code, signal: name } = await remote.runForeground("rsync", args, {
      env,
      signal: AbortSignal.any([signal, ending.signal]),
    });
    return code ?? 128 + (name === null ? 0 : constants.signals[name]);
  } finally {
    over.abort();
    release();
  }
}

/** Whoever copies once does not wait for it to be read. */
const readSyncs = () => import("../remote/sync-commands.ts");

async function startDaemon(
  words: readonly string[],
  flags: Flags & { readonly daemon: string },
  context: CommandContext,
): Promise<number> {
  const [{ startSync }, { parseSyncWish }] = await Promise.all([readSyncs(), import("../remote/sync-wish.ts")]);
  const wish = parseSyncWish(words, flags, context.facts.cwd);
  const pace = {
    debounceSeconds: parseDurationSeconds(flags.debounce, "--debounce"),
    rescanSeconds: Math.max(1, parseDurationSeconds(flags.rescan, "--rescan")),
    pollSeconds: Math.max(1, parseDurationSeconds(flags.poll, "--poll")),
  };
  const file = await startSync(wish, pace, context);
  if (flags.json === true) printJson(context.io, file);
  else
    context.io.write(`${file.name} is kept in sync by process ${file.process?.pid}; sluice rsync --status shows it\n`);
  return 0;
}
