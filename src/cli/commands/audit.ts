import { Command } from "commander";
import type { AuditView } from "../../contract/fleet/audit-view.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect } from "../output.ts";
import { parseMoment, parseWhole } from "../parse-values.ts";
import { type Column, renderTable } from "../render-table.ts";
import { show } from "../show.ts";

interface AuditFlags extends HubFlags {
  readonly actor?: string;
  readonly action?: string;
  readonly subject?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: string;
}

export function auditCommand(context: CommandContext, finish: Finish): Command {
  return addHubFlags(new Command("audit"))
    .description("who did what to what, newest first")
    .option("--actor <actor>", "only by this one: operator:ID, box:ID or hub")
    .option("--action <action>", "only this, or what begins with it: box, box.drain")
    .option("--subject <subject>", "only on this, or what lies below it: box/north-1")
    .option("--since <time>", "not before: 15m, 24h or 2026-01-15T10:00:00Z")
    .option("--until <time>", "not after")
    .option("--limit <number>", "at most so many", "100")
    .action(async (flags: AuditFlags) => finish(await runAudit(flags, context)));
}

export async function runAudit(flags: AuditFlags, context: CommandContext): Promise<number> {
  const nowMs = context.clock.wallMs();
  const limit = parseWhole(flags.limit, { field: "--limit", min: 1, max: 1e6 });
  const from = flags.since === undefined ? undefined : parseMoment(flags.since, { field: "--since", nowMs });
  const to = flags.until === undefined ? undefined : parseMoment(flags.until, { field: "--until", nowMs });
  const { actor, action, subject } = flags;
  const hub = await openHub(flags, context);
  return show(flags, { hub, context }, async (signal) => {
    const items = await collect(hub.audit({ actor, action, subject, from, to, limit }, signal));
    return {
      json: { items },
      text: (view) => (items.length === 0 ? "nothing\n" : renderTable(items, COLUMNS, view)),
    };
  });
}

const COLUMNS: readonly Column<AuditView>[] = [
  { head: "AT", text: ({ at }) => at.replace(/\.\d+Z$/, "Z"), rank: 8 },
  { head: "WHO", text: ({ actor }) => actor, rank: 7, least: 12 },
  { head: "DID", text: ({ action }) => action, rank: 9 },
  { head: "TO", text: ({ subject }) => subject, rank: 9, least: 12 },
  {
    head: "OUTCOME",
    text: ({ outcome }) => outcome,
    tone: ({ outcome }) => (outcome === "refused" ? "bad" : undefined),
    rank: 6,
  },
  { head: "FROM", text: ({ address }) => address, rank: 2, least: 9 },
  { head: "DETAIL", text: ({ detail }) => detail, rank: 3, least: 12 },
];
