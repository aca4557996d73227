import { Command, CommanderError } from "commander";
import { messageOf } from "../base/errors.ts";
import { ERROR_POLICY, toAppError } from "../contract/error-code.ts";
import type { CommandContext, Finish } from "./command-context.ts";
import { agentCommand } from "./commands/agent.ts";
import { cleanupCommand } from "./commands/cleanup.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { explainCommand } from "./commands/explain.ts";
import { logsCommand } from "./commands/logs.ts";
import { reconcileCommand } from "./commands/reconcile.ts";
import { statusCommand } from "./commands/status.ts";
import { versionCommand } from "./commands/version.ts";

const COMMANDS = [
  agentCommand,
  statusCommand,
  explainCommand,
  reconcileCommand,
  logsCommand,
  cleanupCommand,
  doctorCommand,
  versionCommand,
] as const;

const HELP_FOOTER = `
Exit status: 0 done · 64 wrong arguments · 66 no such thing · 69 nothing answers · 75 try again later ·
             77 not allowed · 78 wrong configuration · 70 a fault of ours
Manual: docs/operations.md (commands, states, what to do) and docs/configuration.md (every option)`;

/** Runs one command line (without the program's own name) and resolves with its exit status. Never rejects. */
export async function runProgram(args: readonly string[], context: CommandContext): Promise<number> {
  let exitCode = 0;
  const program = createProgram(context, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...args], { from: "user" });
    return exitCode;
  } catch (thrown) {
    return report(thrown, context);
  }
}

function createProgram(context: CommandContext, finish: Finish): Command {
  const { io, version } = context;
  const program = new Command("sluice")
    .description("Keeps FFmpeg streams running on unattended boxes.")
    .version(`sluice ${version}`, "-V, --version", "print the version")
    .helpCommand("help [command]", "show the help of a command")
    .addHelpText("after", HELP_FOOTER);
  for (const create of COMMANDS) program.addCommand(create(context, finish));
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .showHelpAfterError(`(sluice ${command === program ? "" : `${command.name()} `}--help says more)`)
      .configureOutput({
        writeOut: (text) => io.write(text),
        writeErr: (text) => io.writeError(text),
        outputError: (text, write) => write(text.replace(/^error: /, "sluice: ")),
        getOutHelpWidth: () => io.columns ?? 100,
        getErrHelpWidth: () => io.columns ?? 100,
        getOutHasColors: () => io.hasColour,
        getErrHasColors: () => io.hasColour,
      });
  }
  return program;
}

function report(thrown: unknown, { io, signal }: CommandContext): number {
  // commander has already said what is wrong, or shown the help that was asked for.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : ERROR_POLICY.invalid.exit;
  if (signal.aborted) return ERROR_POLICY.cancelled.exit;
  const error = toAppError(thrown);
  io.writeError(`sluice: ${error.code === "internal" ? `a fault of ours: ${messageOf(thrown)}` : error.message}\n`);
  return ERROR_POLICY[error.code].exit;
}
