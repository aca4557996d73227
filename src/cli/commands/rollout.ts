import { Command } from "commander";
import { oneLine } from "../../base/log.ts";
import type { HubClient } from "../../client/hub-client.ts";
import { parseRolloutFile } from "../../config/fleet-file.ts";
import type { RolloutView } from "../../contract/fleet/rollout.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { confirm } from "../confirm.ts";
import { notOne, orNothing } from "../find-box.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect, countOf, printJson, type View } from "../output.ts";
import { readGivenFile } from "../read-given-file.ts";
import { type Column, renderTable } from "../render-table.ts";
import { resolveName } from "../resolve-name.ts";
import { show, type WatchFlags } from "../show.ts";

interface ApplyFlags extends HubFlags {
  readonly file: string;
}

interface RemoveFlags extends HubFlags {
  readonly yes?: boolean;
}

export function rolloutCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("rollout").description("one stream on every box whose labels match");
  addHubFlags(command.command("ls"))
    .description("list rollouts with the boxes they reach")
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (flags: WatchFlags) => finish(await runRolloutList(flags, context)));
  addHubFlags(command.command("show"))
    .description("show a rollout, and the boxes on which it could not be placed")
    .argument("<rollout>")
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (rollout: string, flags: WatchFlags) => finish(await runRolloutShow(rollout, flags, context)));
  addHubFlags(command.command("apply"))
    .description("make a rollout, or put another form in its place")
    .argument("<id>")
    .requiredOption("-f, --file <file>", "selector, template and enabled as YAML or JSON; - is standard input")
    .addHelpText(
      "after",
      `
Example of a file; {{box.id}}, {{box.name}} and {{label.KEY}} are filled in for each box:
  selector: site=north,role!=spare
  template:
    kind: stream
    id: lobby
    spec: {input: "rtsp://{{label.camera}}/main", outputs: ["rtmp://ingest.example/live/{{box.id}}"]}`,
    )
    .action(async (id: string, flags: ApplyFlags) => finish(await runRolloutApply(id, flags, context)));
  addHubFlags(command.command("rm"))
    .description("remove a rollout, and its stream from every box")
    .argument("<rollout>")
    .option("-y, --yes", "do not ask")
    .action(async (rollout: string, flags: RemoveFlags) => finish(await runRolloutRemove(rollout, flags, context)));
  return command;
}

export async function runRolloutList(flags: WatchFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  return show(flags, { hub, context }, async (signal) => {
    const items = await collect(hub.rollouts.list({}, signal));
    return {
      json: { items },
      text: (view) => (items.length === 0 ? "no rollout\n" : renderTable(items, COLUMNS, view)),
    };
  });
}

export async function runRolloutShow(given: string, flags: WatchFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const { id } = await findRollout(hub, given, context.signal);
  return show(flags, { hub, context }, async (signal) => {
    const rollout = await hub.rollouts.get(id, signal);
    return { json: rollout, text: (view) => renderRollout(rollout, view) };
  });
}

export async function runRolloutApply(id: string, flags: ApplyFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const { path, text } = await readGivenFile(flags.file, "--file", context);
  const body = parseRolloutFile(path, text);
  const hub = await openHub(flags, context);
  const held = await hub.rollouts.get(id, signal).catch(orNothing);
  const rollout = await hub.rollouts.put(id, { body, ifRevision: held?.revision }, signal);
  if (flags.json === true) printJson(io, rollout);
  else {
    const done = held === undefined ? "is made" : "is changed";
    io.write(`${id} ${done} (revision ${rollout.revision}). How far it is: sluice rollout show ${id} --watch\n`);
  }
  return 0;
}

export async function runRolloutRemove(given: string, flags: RemoveFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const hub = await openHub(flags, context);
  const { id, boxes, revision } = await findRollout(hub, given, signal);
  await confirm(`Remove ${id} and stop its stream on ${countOf(boxes.placed, "box", "boxes")}?`, {
    yes: flags.yes,
    io,
  });
  await hub.rollouts.remove(id, { ifRevision: revision }, signal);
  if (flags.json === true) printJson(io, { id, removed: true });
  else io.write(`${id} is removed\n`);
  return 0;
}

async function findRollout(hub: HubClient, given: string, signal: AbortSignal): Promise<RolloutView> {
  const resolution = resolveName(given, await collect(hub.rollouts.list({}, signal)));
  if (resolution.kind === "found") return resolution.item;
  const candidates = resolution.kind === "several" ? resolution.candidates : [];
  throw notOne(
    "rollout",
    given,
    candidates.map(({ id }) => ({ id })),
    "sluice rollout ls shows all",
  );
}

function reachOf({ boxes, enabled }: RolloutView): string {
  const failed = boxes.failed.length === 0 ? "" : `, ${boxes.failed.length} could not take it`;
  return `on ${boxes.placed} of ${countOf(boxes.matching, "box", "boxes")}${failed}${enabled ? "" : ", switched off"}`;
}

const COLUMNS: readonly Column<RolloutView>[] = [
  { head: "ID", text: ({ id }) => id, rank: 9, least: 10 },
  {
    head: "BOXES",
    text: ({ boxes }) => `${boxes.placed}/${boxes.matching}`,
    tone: ({ boxes }) => (boxes.placed === boxes.matching ? "good" : "warn"),
    align: "right",
    rank: 8,
  },
  { head: "FAILED", text: ({ boxes }) => boxes.failed.length || "", tone: () => "bad", align: "right", rank: 7 },
  { head: "ENABLED", text: ({ enabled }) => (enabled ? "yes" : "no"), rank: 6 },
  { head: "SELECTOR", text: ({ selector }) => selector || "every box", rank: 5, least: 12 },
  { head: "STREAM", text: ({ template }) => template.id, rank: 4, least: 8 },
];

function renderRollout(rollout: RolloutView, { paint }: View): string {
  const { id, selector, revision, boxes, template, updatedAt } = rollout;
  const lines = [
    ["rollout", `${paint("strong", id)}, revision ${revision}, changed ${updatedAt}`],
    ["selector", selector || "every box"],
    ["boxes", paint(boxes.failed.length === 0 ? "good" : "bad", reachOf(rollout))],
    ["template", JSON.stringify(template)],
    ...boxes.failed.map(({ box, reason }) => ["failed", `${box}: ${oneLine(reason)}`]),
  ] as const;
  return lines.map(([label = "", text = ""]) => `${label.padEnd(13)}${text}\n`).join("");
}
