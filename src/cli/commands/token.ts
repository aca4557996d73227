import { Command, Option } from "commander";
import { AppError } from "../../base/errors.ts";
import { ROLES, type Role, type TokenView } from "../../contract/fleet/token.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { confirm } from "../confirm.ts";
import { formatAge, formatDuration } from "../duration.ts";
import { notOne } from "../find-box.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect, printJson, type View } from "../output.ts";
import { parseDurationSeconds } from "../parse-values.ts";
import { type Column, renderTable } from "../render-table.ts";
import { resolveName } from "../resolve-name.ts";
import { show } from "../show.ts";

interface CreateFlags extends HubFlags {
  readonly role: Role;
  readonly expires?: string;
}

interface RevokeFlags extends HubFlags {
  readonly yes?: boolean;
}

export function tokenCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("token").description("tokens of the people and programs that use the hub");
  addHubFlags(command.command("ls"))
    .description("list tokens with their roles, never the tokens themselves")
    .action(async (flags: HubFlags) => finish(await runTokenList(flags, context)));
  addHubFlags(command.command("create"))
    .description("make a token; it is shown this once")
    .argument("<name>", "whose it is, or what for")
    .addOption(
      new Option(
        "--role <role>",
        "viewer: look; operator: change what runs; admin: everything; router: nothing but what a router of its own tells",
      )
        .choices(ROLES)
        .default("viewer"),
    )
    .option("--expires <duration>", "how long it is good, such as 90d; until it is revoked when left out")
    .action(async (name: string, flags: CreateFlags) => finish(await runTokenCreate(name, flags, context)));
  addHubFlags(command.command("revoke"))
    .description("make a token void, within seconds on every hub")
    .argument("<token>", "its id or name")
    .option("-y, --yes", "do not ask")
    .action(async (token: string, flags: RevokeFlags) => finish(await runTokenRevoke(token, flags, context)));
  return command;
}

export async function runTokenList(flags: HubFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  return show(flags, { hub, context }, async (signal) => {
    const items = await collect(hub.tokens.list({}, signal));
    return { json: { items }, text: (view) => renderTokens(items, view) };
  });
}

export async function runTokenCreate(name: string, flags: CreateFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const expires = flags.expires === undefined ? undefined : parseDurationSeconds(flags.expires, "--expires");
  const hub = await openHub(flags, context);
  const created = await hub.tokens.create(
    { name, role: flags.role, ...(expires === undefined ? {} : { expiresInSeconds: expires }) },
    signal,
  );
  if (flags.json === true) printJson(io, created);
  else {
    // The token alone on standard output, so that it can be piped into a file.
    io.write(`${created.token ?? ""}\n`);
    io.writeError(`A token for ${name} as ${created.role}. It is not shown again (id ${created.id}).\n`);
  }
  return 0;
}

export async function runTokenRevoke(given: string, flags: RevokeFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const hub = await openHub(flags, context);
  const tokens = await collect(hub.tokens.list({}, signal));
  const resolution = resolveName(
    given,
    tokens.filter(({ id, revokedAt }) => revokedAt === undefined || id === given),
  );
  if (resolution.kind !== "found") {
    const candidates = resolution.kind === "several" ? resolution.candidates : [];
    throw notOne("token", given, candidates, "sluice token ls shows all");
  }
  const { id, name, role, revokedAt } = resolution.item;
  if (revokedAt !== undefined) throw new AppError("conflict", `${id} (${name}) is revoked already`);
  await confirm(`Revoke ${id}, ${name} (${role})?`, { yes: flags.yes, io });
  await hub.tokens.revoke(id, signal);
  if (flags.json === true) printJson(io, { id, revoked: true });
  else io.write(`${id} (${name}) is revoked\n`);
  return 0;
}

function renderTokens(items: readonly TokenView[], view: View): string {
  const stateOf = ({ revokedAt, expiresAt }: TokenView) => {
    if (revokedAt !== undefined) return "revoked";
    if (expiresAt === undefined) return "good";
    const leftSeconds = (Date.parse(expiresAt) - view.nowMs) / 1000;
    return leftSeconds > 0 ? `good for ${formatDuration(leftSeconds)}` : "expired";
  };
  const columns: readonly Column<TokenView>[] = [
    { head: "ID", text: ({ id }) => id, rank: 9 },
    { head: "NAME", text: ({ name }) => name, rank: 8, least: 10 },
    { head: "ROLE", text: ({ role }) => role, rank: 8 },
    { head: "STATE", text: stateOf, tone: (token) => (stateOf(token).startsWith("good") ? "good" : "quiet"), rank: 7 },
    {
      head: "USED",
      text: ({ lastUsedAt }) => (lastUsedAt === undefined ? "" : `${formatAge(lastUsedAt, view.nowMs)} ago`),
      rank: 4,
    },
    { head: "MADE", text: ({ createdAt }) => `${formatAge(createdAt, view.nowMs)} ago`, rank: 3 },
  ];
  return items.length === 0 ? "no token\n" : renderTable(items, columns, view);
}
