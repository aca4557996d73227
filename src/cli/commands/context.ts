import { Command } from "commander";
import { AppError } from "../../base/errors.ts";
import { type Contexts, chooseContext } from "../../config/contexts.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { notOne } from "../find-box.ts";
import { readContexts, writeContexts } from "../hub-session.ts";
import { printJson, viewOf } from "../output.ts";
import { renderTable } from "../render-table.ts";
import { resolveName } from "../resolve-name.ts";

interface JsonFlags {
  readonly json?: boolean;
}

export function contextCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("context").description("show and choose among the hubs that were logged in to");
  command
    .command("ls")
    .description("list the contexts; * marks the one that commands use now")
    .option("--json", "print JSON, without the tokens")
    .action(async (flags: JsonFlags) => finish(await runContextList(flags, context)));
  command
    .command("use")
    .description("make a context the current one")
    .argument("<name>", "the context, or enough letters of it")
    .action(async (name: string) => finish(await runContextUse(name, context)));
  command
    .command("rm")
    .description("forget a context and its token; the hub is not told")
    .argument("<name>", "the context, in full")
    .action(async (name: string) => finish(await runContextRemove(name, context)));
  return command.addHelpText(
    "after",
    `
Which hub a command speaks with: --context, then SLUICE_HUB with SLUICE_HUB_TOKEN (and SLUICE_HUB_CA, a file), then
SLUICE_CONTEXT, then the current context.`,
  );
}

export async function runContextList({ json }: JsonFlags, context: CommandContext): Promise<number> {
  const known = await readContexts(context);
  const used = currentOf(known, context);
  const items = Object.entries(known.contexts).map(([name, { hub, ca }]) => ({
    name,
    hub,
    current: name === used,
    trust: ca === undefined ? "system" : "pinned",
  }));
  if (json === true) printJson(context.io, { items });
  else if (items.length === 0) context.io.write("No context yet: sluice login HUB\n");
  else {
    const columns = [
      { head: "", text: (item: (typeof items)[number]) => (item.current ? "*" : ""), rank: 9 },
      { head: "NAME", text: (item: (typeof items)[number]) => item.name, rank: 9 },
      { head: "HUB", text: (item: (typeof items)[number]) => item.hub, rank: 5, least: 20 },
      { head: "TRUST", text: (item: (typeof items)[number]) => item.trust, rank: 1 },
    ];
    context.io.write(renderTable(items, columns, viewOf(context)));
  }
  return 0;
}

export async function runContextUse(given: string, context: CommandContext): Promise<number> {
  const known = await readContexts(context);
  const named = Object.keys(known.contexts).map((id) => ({ id }));
  const resolution = resolveName(given, named);
  if (resolution.kind !== "found") {
    const candidates = resolution.kind === "several" ? resolution.candidates : [];
    throw notOne("context", given, candidates, "sluice context ls shows all");
  }
  const name = resolution.item.id;
  await writeContexts({ ...known, current: name }, context);
  context.io.write(`${name} (${known.contexts[name]?.hub}) is the current context.\n`);
  return 0;
}

export async function runContextRemove(name: string, context: CommandContext): Promise<number> {
  const known = await readContexts(context);
  if (!Object.hasOwn(known.contexts, name)) throw notOne("context", name, [], "sluice context ls shows all");
  const { [name]: _removed, ...contexts } = known.contexts;
  await writeContexts({ current: known.current === name ? undefined : known.current, contexts }, context);
  context.io.write(`${name} is forgotten. Its token stays good until it is revoked (sluice token revoke).\n`);
  return 0;
}

function currentOf(known: Contexts, { env }: CommandContext): string | undefined {
  try {
    return chooseContext(known, env, undefined)?.name;
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}
