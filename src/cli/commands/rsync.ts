import { constants } from "node:os";
import { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { withRemoteExits } from "../remote/report-outcome.ts";
import { checkRsyncArguments, quoteRsh } from "../remote/rsync-arguments.ts";

interface Flags {
  readonly context?: string;
}

export function rsyncCommand(context: CommandContext, finish: Finish): Command {
  return (
    new Command("rsync")
      .description("copy files to and from boxes with rsync, once or on every change")
      .usage("[options] [options of rsync] SRC… DST")
      .argument("[word...]")
      .allowUnknownOption()
      // rsync's own -h means something else.
      .helpOption("--help", "display help for command")
      .option("--context <name>", "the hub to speak with, of those that `sluice context ls` shows (SLUICE_CONTEXT)")
      .addHelpText(
        "after",
        `
SRC and DST are paths here, or BOX:PATH. The box needs rsync, and a policy that allows the path. All options of rsync go to rsync;
the exit status is its own.

Examples:
  sluice rsync -a --delete site/ north-1:/srv/site/
  sluice rsync -a --partial north-1:/var/lib/app/recordings/ recordings/`,
      )
      .action(async (words: string[], flags: Flags) =>
        finish(await withRemoteExits(context, () => runRsync(words, flags, context))),
      )
  );
}

async function runRsync(words: readonly string[], flags: Flags, context: CommandContext): Promise<number> {
  if (words.length === 0) throw new AppError("invalid", "name what to copy: sluice rsync [options of rsync] SRC… DST");
  checkRsyncArguments(words);
  const { remote, signal } = context;
  const console = await remote.openConsole();
  // The terminal sends them to rsync as well: this program waits for what rsync makes of them.
  const release = console.takeSignals(() => undefined);
  try {
    const env: Record<string, string> = flags.context === undefined ? {} : { SLUICE_CONTEXT: flags.context };
    const args = ["-e", quoteRsh([...remote.self, "rsh"]), ...words];
    const { code, signal: name } = await remote.runForeground("rsync", args, { env, signal });
    return code ?? 128 + (name === null ? 0 : constants.signals[name]);
  } finally {
    release();
  }
}
