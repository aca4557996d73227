import { Command } from "commander";
import { ERROR_POLICY, type ErrorCode } from "../../contract/error-code.ts";
import { VERDICTS, type Verdict } from "../../contract/fleet/remote-why.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { findRemote } from "../find-remote.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { printJson, viewOf } from "../output.ts";
import { renderWhy } from "../why-view.ts";

/** What each verdict means for a script; absent: nothing is wrong. */
const CODES: Readonly<Partial<Record<Verdict, ErrorCode>>> = {
  "waiting-for-operator": "unavailable",
  "waiting-for-box": "unavailable",
  "waiting-for-input": "timeout",
  "waiting-for-reader": "timeout",
  "waiting-for-credit": "exhausted",
  "waiting-for-process": "timeout",
  "target-silent": "timeout",
  "link-saturated": "exhausted",
  "link-dead": "unavailable",
  unknown: "unavailable",
};

export function whyCommand(context: CommandContext, finish: Finish): Command {
  const statuses = VERDICTS.map((verdict) => `  ${verdict.padEnd(21)} ${exitOf(verdict)}`);
  return addHubFlags(new Command("why"))
    .description("say what holds a remote session up: its reader, the command, the target, the link, or nothing")
    .argument("<remote>")
    .action(async (given: string, flags: HubFlags) => finish(await runWhy(given, flags, context)))
    .addHelpText(
      "after",
      `
REMOTE is the id of a session (sluice remote ls), and may be shortened as the names of boxes.
The hub asks the box, which looks on for a moment and asks the operator's program: it takes up to 10 seconds.

Verdicts, and their exit statuses:
${statuses.join("\n")}`,
    );
}

export async function runWhy(given: string, flags: HubFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const hub = await openHub(flags, context);
  const { id } = await findRemote(hub, given, signal);
  const why = await hub.remote.why(id, signal);
  if (flags.json === true) printJson(io, why);
  else io.write(renderWhy(why, viewOf(context)));
  return exitOf(why.verdict);
}

function exitOf(verdict: Verdict): number {
  const code = CODES[verdict];
  return code === undefined ? 0 : ERROR_POLICY[code].exit;
}
