import { messageOf } from "../../base/errors.ts";
import type { CommandContext } from "../command-context.ts";
import { type ExecOutcome, outcomeOfFailure } from "./judge-exit.ts";
import { failureOf } from "./remote-failure.ts";

export interface ReportWish {
  /** Takes the outcome as one line of JSON. */
  readonly writeStatus?: ((line: string) => void) | undefined;
  /** Messages for a person go to a person. */
  readonly isErrorTerminal: boolean;
  readonly verbose?: boolean | undefined;
}

/** Says how it ended where that must be said. Gives the exit status. */
export function reportOutcome(
  { exitCode, status, message, isFailure }: ExecOutcome,
  { writeStatus, isErrorTerminal, verbose = false }: ReportWish,
  io: CommandContext["io"],
): number {
  if (message !== undefined && (isFailure || verbose || isErrorTerminal)) io.writeError(`sluice: ${message}\n`);
  try {
    writeStatus?.(`${JSON.stringify(status)}\n`);
  } catch (error) {
    // Whoever asked for the line has gone. The exit status is still the command's.
    io.writeError(`sluice: --status-fd: ${messageOf(error)}\n`);
  }
  return exitCode;
}

/** Runs a command that has exit statuses of its own for what goes wrong on its way. */
export async function withRemoteExits(context: CommandContext, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (thrown) {
    const { exitCode, message = "" } = outcomeOfFailure(failureOf(thrown));
    context.io.writeError(`sluice: ${message}\n`);
    return exitCode;
  }
}
