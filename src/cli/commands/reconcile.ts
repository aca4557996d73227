import { Command } from "commander";
import type { CommandContext, Finish } from "../command-context.ts";
import { addPlaceFlags, type PlaceFlags, withAgent } from "../find-agent.ts";

export interface ReconcileFlags extends PlaceFlags {
  readonly json?: boolean;
}

export function reconcileCommand(context: CommandContext, finish: Finish): Command {
  return addPlaceFlags(new Command("reconcile"))
    .description("compare what runs with what is expected now, and mend the difference")
    .option("--json", "print the counts as JSON")
    .action(async (flags: ReconcileFlags) => finish(await runReconcile(flags, context)));
}

export async function runReconcile(flags: ReconcileFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const result = await withAgent(flags, context, (agent) => agent.reconcile(signal));
  const { kept, started, stopped } = result;
  const sentence = `Reconciliation completed: ${kept} kept, ${started} started, ${stopped} stopped`;
  io.write(`${flags.json === true ? JSON.stringify(result) : sentence}\n`);
  return 0;
}
