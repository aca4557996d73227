import { Command } from "commander";
import type { CommandContext, Finish } from "../command-context.ts";
import { forwardSignals } from "../remote/forward-signals.ts";
import { createVoice, openReach } from "../remote/reach-box.ts";
import { failure } from "../remote/remote-failure.ts";
import { reportOutcome, withRemoteExits } from "../remote/report-outcome.ts";
import { parseRshCall } from "../remote/rsh-arguments.ts";
import { type RunningExec, runExec } from "../remote/run-exec.ts";
import { addSealFlags, parseSealFlags, type SealFlags } from "../remote/seal-flags.ts";

export function rshCommand(context: CommandContext, finish: Finish): Command {
  return addSealFlags(new Command("rsh"))
    .description("what rsync calls in the place of ssh: rsync -e 'sluice rsh' SRC… BOX:PATH")
    .usage("[--seal [--box-key FINGERPRINT]] [-l USER] BOX rsync --server …")
    .argument("[word...]")
    .allowUnknownOption()
    .passThroughOptions()
    .addHelpText(
      "after",
      `
The hub is that of SLUICE_CONTEXT, or the current one. sluice rsync calls this for you.`,
    )
    .action(async (words: string[], flags: SealFlags) =>
      finish(await withRemoteExits(context, () => runRsh(words, flags, context))),
    );
}

async function runRsh(words: readonly string[], flags: SealFlags, context: CommandContext): Promise<number> {
  const { io, clock } = context;
  const call = parseRshCall(words);
  const sealed = parseSealFlags(flags);
  await using reach = await openReach({}, { joinsItself: true }, context);
  const console = await context.remote.openConsole();
  const stop = new AbortController();
  let running: RunningExec | undefined;
  const release = forwardSignals(
    { console, clock },
    {
      running: () => running,
      giveUp: (name) => stop.abort(failure("unreachable", "cancelled", `SIG${name} came before anything was begun`)),
    },
  );
  try {
    const signal = AbortSignal.any([context.signal, stop.signal]);
    const { argv, box, user } = call;
    const operation = { kind: "rsync" as const, argv: [...argv], ...(user === undefined ? {} : { user }) };
    const wish = { box, create: { operation }, lane: "forward", ...sealed } as const;
    const link = await reach.open(wish, createVoice(context, false), signal);
    running = runExec(
      { kind: "exec", argv, env: {}, cwd: undefined, user, pty: undefined, stdin: true },
      { stdin: console.stdin, stdout: console.stdout, stderr: console.stderr, terminal: undefined },
      { link, clock },
    );
    return reportOutcome(await running.outcome, { isErrorTerminal: console.isErrorTerminal }, io);
  } finally {
    release();
  }
}
