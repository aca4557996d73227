import { Command } from "commander";
import type { EnrolmentView } from "../../contract/fleet/token.ts";
import { formatLabels } from "../box-views.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { formatDuration } from "../duration.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect, printJson, type View } from "../output.ts";
import { gather, parseDurationSeconds, parseLabelChanges } from "../parse-values.ts";
import { type Column, renderTable } from "../render-table.ts";
import { show } from "../show.ts";

interface CreateFlags extends HubFlags {
  readonly box?: string;
  readonly label?: readonly string[];
  /** Left out: as the hub is configured. */
  readonly approve?: boolean;
  readonly expires?: string;
}

export function enrolTokenCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("enrol-token").description("one-time tokens by which new boxes join");
  addHubFlags(command.command("create"))
    .description("make a token for one box; it is shown this once")
    .option("--box <id>", "only a box of this id may use it; it replaces the key of a box that has this id already")
    .option("--label <key=value>", "a label that the box gets; may be given several times", gather)
    .option("--approve", "the box works at once")
    .option("--no-approve", "the box waits until it is approved")
    .option("--expires <duration>", "how long it is good, such as 24h or 7d; a day when left out")
    .action(async (flags: CreateFlags) => finish(await runCreate(flags, context)));
  addHubFlags(command.command("ls"))
    .description("list the tokens and the boxes that took them")
    .action(async (flags: HubFlags) => finish(await runList(flags, context)));
  addHubFlags(command.command("rm"))
    .description("make tokens void")
    .argument("<id...>")
    .action(async (ids: string[], flags: HubFlags) => finish(await runRemove(ids, flags, context)));
  return command;
}

async function runCreate(flags: CreateFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const { set } = parseLabelChanges(flags.label ?? [], "--label");
  const expires = flags.expires === undefined ? undefined : parseDurationSeconds(flags.expires, "--expires");
  const hub = await openHub(flags, context);
  const created = await hub.enrolments.create(
    {
      labels: { ...set },
      ...(flags.box === undefined ? {} : { box: flags.box }),
      ...(flags.approve === undefined ? {} : { approve: flags.approve }),
      ...(expires === undefined ? {} : { expiresInSeconds: expires }),
    },
    signal,
  );
  if (flags.json === true) printJson(io, created);
  else {
    // The token alone on standard output, so that it can be piped.
    io.write(`${created.token ?? ""}\n`);
    const left = formatDuration((Date.parse(created.expiresAt) - Date.parse(created.createdAt)) / 1000);
    const then = created.approve ? "works at once" : "waits until it is approved (sluice box approve)";
    io.writeError(`Good for one box and ${left}; the box then ${then}. It is not shown again (id ${created.id}).\n`);
  }
  return 0;
}

async function runList(flags: HubFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  return show(flags, { hub, context }, async (signal) => {
    const items = await collect(hub.enrolments.list({}, signal));
    return { json: { items }, text: (view) => renderEnrolments(items, view) };
  });
}

async function runRemove(ids: readonly string[], flags: HubFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  for (const id of ids) {
    await hub.enrolments.remove(id, context.signal);
    if (flags.json !== true) context.io.write(`${id} is void\n`);
  }
  if (flags.json === true) printJson(context.io, { items: ids.map((id) => ({ id, removed: true })) });
  return 0;
}

function renderEnrolments(items: readonly EnrolmentView[], view: View): string {
  if (items.length === 0) return "no token\n";
  const stateOf = ({ takenBy, takenAt, expiresAt }: EnrolmentView) => {
    if (takenAt !== undefined) return `taken by ${takenBy ?? "a box"}`;
    const leftSeconds = (Date.parse(expiresAt) - view.nowMs) / 1000;
    return leftSeconds > 0 ? `good for ${formatDuration(leftSeconds)}` : "expired";
  };
  const columns: readonly Column<EnrolmentView>[] = [
    { head: "ID", text: ({ id }) => id, rank: 9 },
    { head: "STATE", text: stateOf, rank: 8 },
    { head: "BOX", text: ({ box }) => box ?? "any", rank: 5 },
    { head: "APPROVES", text: ({ approve }) => (approve ? "yes" : "no"), rank: 3 },
    { head: "LABELS", text: ({ labels }) => formatLabels(labels), rank: 2, least: 10 },
  ];
  return renderTable(items, columns, view);
}
