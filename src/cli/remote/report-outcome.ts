import type { CommandContext } from "../command-context.ts";
import type { Console } from "./console.ts";
import { type ExecOutcome, outcomeOfFailure } from "./judge-exit.ts";
import { failureOf } from "./remote-failure.ts";

export interface ReportWish {
  /** Descriptor that gets the outcome as one line of JSON. */
  readonly statusFd?: number | undefined;
  readonly verbose?: boolean | undefined;
}

/** Says how it ended where that must be said. Gives the exit status. */
export function reportOutcome(
  { exitCode, status, message, isFailure }: ExecOutcome,
  { statusFd, verbose = false }: ReportWish,
  { io, console }: { readonly io: CommandContext["io"]; readonly console: Console },
): number {
  if (message !== undefined && (isFailure || verbose || console.isErrorTerminal)) io.writeError(`sluice: ${message}\n`);
  if (statusFd !== undefined) console.writeToFd(statusFd, `${JSON.stringify(status)}\n`);
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
