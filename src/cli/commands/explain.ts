import { Command } from "commander";
import { oneLine } from "../../base/log.ts";
import type { Explanation } from "../../contract/local-status.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { formatAge } from "../duration.ts";
import { addPlaceFlags, type PlaceFlags, withAgent } from "../find-agent.ts";
import { createPaint } from "../paint.ts";

export interface ExplainFlags extends PlaceFlags {
  readonly json?: boolean;
}

export function explainCommand(context: CommandContext, finish: Finish): Command {
  return addPlaceFlags(new Command("explain"))
    .description("say why a workload is in its state: expected by what, last exit with its evidence, what happens next")
    .argument("<id>", "the workload, as `sluice status` names it")
    .option("--json", "print the agent's answer as JSON")
    .action(async (id: string, flags: ExplainFlags) => finish(await runExplain({ ...flags, id }, context)));
}

/** Exits 66 when nothing expects the workload and nothing of it runs. */
export async function runExplain(
  flags: ExplainFlags & { readonly id: string },
  context: CommandContext,
): Promise<number> {
  const { io, signal, clock } = context;
  const explanation = await withAgent(flags, context, (agent) => agent.explain(flags.id, signal));
  if (flags.json === true) io.write(`${JSON.stringify(explanation, undefined, 2)}\n`);
  else io.write(renderExplanation(explanation, { hasColour: io.hasColour, nowMs: clock.wallMs() }));
  return explanation.status === undefined ? 66 : 0;
}

export function renderExplanation(
  { id, status, because }: Explanation,
  { hasColour, nowMs }: { readonly hasColour: boolean; readonly nowMs: number },
): string {
  const paint = createPaint(hasColour);
  const age = status === undefined ? undefined : formatAge(status.since, nowMs);
  const state = status === undefined ? "not known" : `${status.state}${age === undefined ? "" : ` for ${age}`}`;
  const lines = [`${paint("strong", oneLine(id))} is ${state}`];
  if (status !== undefined) lines.push(`  ${oneLine(status.description)}`);
  for (const sentence of because) lines.push(`  - ${oneLine(sentence)}`);
  return `${lines.join("\n")}\n`;
}
