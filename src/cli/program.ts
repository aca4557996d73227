import { Command, CommanderError } from "commander";
import { messageOf } from "../base/errors.ts";
import { ERROR_POLICY, toAppError } from "../contract/error-code.ts";
import type { CommandContext, Finish } from "./command-context.ts";
import { COMMANDS } from "./command-table.ts";

const HELP_FOOTER = `
Exit status: 0 done · 64 wrong arguments · 66 no such thing · 69 nothing answers · 75 try again later ·
             77 not allowed · 78 wrong configuration · 70 a fault of ours · exec, forward, rsync, rsh: see their help
Manual: docs/operations.md (a box: commands, states, what to do), docs/cli.md (every command),
        docs/configuration.md (every option of an agent)`;

/** Runs one command line (without the program's own name) and resolves with its exit status. Never rejects. */
export async function runProgram(args: readonly string[], context: CommandContext): Promise<number> {
  let exitCode = 0;
  try {
    const program = await createProgram(context, {
      // To complete a line is to know every command.
      named: args[0] === "completion" ? "all" : new Set(args),
      finish: (code) => (exitCode = code),
    });
    await program.parseAsync([...args], { from: "user" });
    return exitCode;
  } catch (thrown) {
    const usageExit = COMMANDS.find(({ name }) => name === args[0])?.usageExit ?? ERROR_POLICY.invalid.exit;
    return report(thrown, context, usageExit);
  }
}

export interface ProgramNeeds {
  /** Commands that are read; of the others only name and summary are there. `all`: every one. */
  readonly named: ReadonlySet<string> | "all";
  readonly finish: Finish;
}

export async function createProgram(context: CommandContext, { named, finish }: ProgramNeeds): Promise<Command> {
  const program = new Command("sluice");
  program
    .description("Keeps FFmpeg streams running on unattended boxes.")
    .version(`sluice ${context.version}`, "-V, --version", "print the version")
    .commandsGroup("Everywhere:")
    // What follows a command's name is the command's alone: an argument for a program on a box may look like an option of ours.
    .enablePositionalOptions()
    .helpCommand("help [command]", "show the help of a command")
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .addHelpText("after", HELP_FOOTER);
  for (const { name, summary, group, load } of COMMANDS) {
    const isRead = named === "all" || named.has(name);
    const command = isRead ? (await load())(context, finish) : new Command(name);
    program.addCommand(command.summary(summary).helpGroup(group));
  }
  configure(program, context);
  return program;
}

/** Commander hands none of this down to commands that were made elsewhere. */
function configure(command: Command, context: CommandContext): void {
  const { io } = context;
  command
    .exitOverride()
    .showHelpAfterError(`(${pathOf(command)} --help says more)`)
    .configureOutput({
      writeOut: (text) => io.write(text),
      writeErr: (text) => io.writeError(text),
      outputError: (text, write) => write(text.replace(/^error: /, "sluice: ")),
      getOutHelpWidth: () => io.columns ?? 100,
      getErrHelpWidth: () => io.columns ?? 100,
      getOutHasColors: () => io.hasColour,
      getErrHasColors: () => io.hasColour,
    });
  for (const child of command.commands) configure(child, context);
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function report(thrown: unknown, { io, signal }: CommandContext, usageExit: number): number {
  // commander has already said what is wrong, or shown the help that was asked for.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : usageExit;
  if (signal.aborted) return ERROR_POLICY.cancelled.exit;
  const error = toAppError(thrown);
  io.writeError(`sluice: ${error.code === "internal" ? `a fault of ours: ${messageOf(thrown)}` : error.message}\n`);
  return ERROR_POLICY[error.code].exit;
}
