import { Command } from "commander";
import type { HubClient } from "../../client/hub-client.ts";
import { parseAlertRuleFile } from "../../config/fleet-file.ts";
import type { AlertRuleView, AlertView, DeliveryView } from "../../contract/fleet/alert.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { confirm } from "../confirm.ts";
import { formatAge, formatDuration } from "../duration.ts";
import { notOne } from "../find-box.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect, printJson, type View } from "../output.ts";
import type { Tone } from "../paint.ts";
import { parseWhole } from "../parse-values.ts";
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

interface DeliveryFlags extends HubFlags {
  readonly limit: string;
}

export function alertCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("alert").description(
    "alerts that fire, the rules they come from, the messages they send",
  );
  addHubFlags(command.command("ls"))
    .description("list alerts that hold now, or just ended")
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (flags: WatchFlags) => finish(await runAlertList(flags, context)));
  addHubFlags(command.command("deliveries"))
    .description("list messages to webhooks: sent, waiting, given up")
    .option("--limit <number>", "at most so many", "100")
    .action(async (flags: DeliveryFlags) => finish(await runDeliveries(flags, context)));
  const rule = new Command("rule").description("what raises an alert, and whom it tells");
  addHubFlags(rule.command("ls"))
    .description("list the rules")
    .action(async (flags: HubFlags) => finish(await runRuleList(flags, context)));
  addHubFlags(rule.command("apply"))
    .description("make a rule, or put another form in its place")
    .argument("<id>")
    .requiredOption("-f, --file <file>", "the rule as YAML or JSON; - is standard input")
    .addHelpText(
      "after",
      `
Example of a file:
  condition: box-offline        # or workload-unwell, gap, disk-full
  selector: site=north          # which boxes; all when left out
  forSeconds: 120               # how long it must hold; then clearAfterSeconds until it ends
  webhook: {url: "https://alerts.example/hook", secret: "at least 16 characters"}`,
    )
    .action(async (id: string, flags: ApplyFlags) => finish(await runRuleApply(id, flags, context)));
  addHubFlags(rule.command("rm"))
    .description("remove a rule and its alerts")
    .argument("<rule>")
    .option("-y, --yes", "do not ask")
    .action(async (id: string, flags: RemoveFlags) => finish(await runRuleRemove(id, flags, context)));
  return command.addCommand(rule);
}

export async function runAlertList(flags: WatchFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  return show(flags, { hub, context }, async (signal) => {
    const items = await collect(hub.alerts.list({}, signal));
    return { json: { items }, text: (view) => renderAlerts(items, view) };
  });
}

export async function runDeliveries(flags: DeliveryFlags, context: CommandContext): Promise<number> {
  const limit = parseWhole(flags.limit, { field: "--limit", min: 1, max: 1e6 });
  const hub = await openHub(flags, context);
  return show(flags, { hub, context }, async (signal) => {
    const items = await collect(hub.alerts.deliveries({ limit }, signal));
    return {
      json: { items },
      text: (view) => (items.length === 0 ? "no message\n" : renderTable(items, DELIVERIES, view)),
    };
  });
}

export async function runRuleList(flags: HubFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  return show(flags, { hub, context }, async (signal) => {
    const items = await collect(hub.alerts.rules({}, signal));
    return { json: { items }, text: (view) => (items.length === 0 ? "no rule\n" : renderTable(items, RULES, view)) };
  });
}

export async function runRuleApply(id: string, flags: ApplyFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const { path, text } = await readGivenFile(flags.file, "--file", context);
  const body = parseAlertRuleFile(path, text);
  const hub = await openHub(flags, context);
  const held = (await collect(hub.alerts.rules({}, signal))).find((rule) => rule.id === id);
  const rule = await hub.alerts.putRule(id, { body, ifRevision: held?.revision }, signal);
  if (flags.json === true) printJson(io, rule);
  else io.write(`${id} ${held === undefined ? "is made" : "is changed"} (revision ${rule.revision})\n`);
  return 0;
}

export async function runRuleRemove(given: string, flags: RemoveFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const hub = await openHub(flags, context);
  const { id, revision } = await findRule(hub, given, signal);
  await confirm(`Remove the rule ${id}?`, { yes: flags.yes, io });
  await hub.alerts.removeRule(id, { ifRevision: revision }, signal);
  if (flags.json === true) printJson(io, { id, removed: true });
  else io.write(`${id} is removed\n`);
  return 0;
}

async function findRule(hub: HubClient, given: string, signal: AbortSignal): Promise<AlertRuleView> {
  const resolution = resolveName(given, await collect(hub.alerts.rules({}, signal)));
  if (resolution.kind === "found") return resolution.item;
  const candidates = resolution.kind === "several" ? resolution.candidates : [];
  throw notOne("rule", given, candidates, "sluice alert rule ls shows all");
}

const PHASE_TONES: Readonly<Record<AlertView["phase"], Tone>> = {
  pending: "warn",
  firing: "bad",
  clearing: "warn",
  quiet: "quiet",
};

function renderAlerts(items: readonly AlertView[], view: View): string {
  if (items.length === 0) return "no alert\n";
  const columns: readonly Column<AlertView>[] = [
    { head: "RULE", text: ({ rule }) => rule, rank: 8, least: 8 },
    { head: "ON", text: ({ subject }) => subject, rank: 9, least: 12 },
    { head: "PHASE", text: ({ phase }) => phase, tone: ({ phase }) => PHASE_TONES[phase], rank: 9 },
    { head: "FOR", text: ({ since }) => formatAge(since, view.nowMs), align: "right", rank: 6 },
    { head: "TEXT", text: ({ text }) => text, rank: 7, least: 16 },
  ];
  return renderTable(items, columns, view);
}

const RULES: readonly Column<AlertRuleView>[] = [
  { head: "ID", text: ({ id }) => id, rank: 9, least: 8 },
  { head: "CONDITION", text: ({ condition }) => condition, rank: 9 },
  { head: "BOXES", text: ({ selector }) => selector || "every box", rank: 6, least: 10 },
  { head: "AFTER", text: ({ forSeconds }) => formatDuration(forSeconds), align: "right", rank: 4 },
  { head: "ENABLED", text: ({ enabled }) => (enabled ? "yes" : "no"), rank: 5 },
  { head: "SIGNED", text: ({ webhook }) => (webhook.signed ? "yes" : "no"), rank: 2 },
  { head: "WEBHOOK", text: ({ webhook }) => webhook.url, rank: 7, least: 16 },
];

const DELIVERIES: readonly Column<DeliveryView>[] = [
  { head: "AT", text: ({ createdAt }) => createdAt.replace(/\.\d+Z$/, "Z"), rank: 8 },
  { head: "RULE", text: ({ rule }) => rule, rank: 9, least: 8 },
  {
    head: "STATE",
    text: ({ state }) => state,
    tone: ({ state }) => (state === "given-up" ? "bad" : state === "sent" ? "good" : "warn"),
    rank: 9,
  },
  { head: "TRIES", text: ({ attempt }) => attempt, align: "right", rank: 4 },
  { head: "LAST ERROR", text: ({ lastError }) => lastError, rank: 7, least: 16 },
];
