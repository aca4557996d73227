import { Command, Option } from "commander";
import type { HubClient } from "../../client/hub-client.ts";
import { SYNC_STATES, type SyncProgress } from "../../contract/transfer/sync-progress.ts";
import { PRESERVED, PRIORITIES, requestIdSchema, VERIFY_LEVELS } from "../../contract/transfer/sync-request.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { notOne, orNothing } from "../find-box.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect, printJson, viewOf } from "../output.ts";
import { gather } from "../parse-values.ts";
import { resolveName } from "../resolve-name.ts";
import { show, type WatchFlags } from "../show.ts";
import { refuseByFlag, type TransferFlags, transferFromFlags } from "../transfer-from-flags.ts";
import { type GivenPlaces, openPlaces } from "../transfer-place.ts";
import { inListOrder, renderTransfer, renderTransfers } from "../transfer-views.ts";
import { watchTransfer } from "../watch-transfer.ts";
import { addVerify } from "./sync-verify.ts";

interface StartFlags extends HubFlags, TransferFlags {
  readonly watch?: boolean;
}

interface ListFlags extends WatchFlags {
  readonly state?: string;
}

const GONE_LOOK_MS = 200;
const GONE_LIMIT_MS = 30_000;

export function syncCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("sync").description(
    "files and trees from box to box: copy, compare, look, cancel, retry",
  );
  addStart(command, context, finish);
  addVerify(command, context, finish);
  addHubFlags(command.command("ls"))
    .description("list transfers with how far they are")
    .addOption(new Option("--state <state>", "only those in this state").choices(SYNC_STATES.map(lower)))
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (flags: ListFlags) => finish(await runSyncList(flags, context)));
  addHubFlags(command.command("show"))
    .description("show a transfer: how far it is, who works on it, what could not be done, its receipt")
    .argument("<transfer>")
    .option("-w, --watch", "follow it with bars until it is over")
    .action(async (id: string, flags: WatchFlags) => finish(await runSyncShow(id, flags, context)));
  addHubFlags(command.command("cancel"))
    .description("end transfers, and forget those that are over; files that have arrived whole stay")
    .argument("<transfer...>")
    .option("--no-wait", "return before every worker has confirmed it")
    .action(async (ids: string[], flags: HubFlags & { readonly wait: boolean }) =>
      finish(await runSyncCancel(ids, flags, context)),
    );
  addHubFlags(command.command("retry"))
    .description("have a transfer that failed go on with what is left")
    .argument("<transfer>")
    .option("-w, --watch", "follow it with bars until it is over")
    .action(async (id: string, flags: WatchFlags) => finish(await runSyncRetry(id, flags, context)));
  return command.addHelpText(
    "after",
    `
TRANSFER is an id, and may be shortened. What boxes give and take is for their own configuration to say (transfer.storages).
How transfers work: docs/transfers.md.`,
  );
}

function addStart(command: Command, context: CommandContext, finish: Finish): void {
  addHubFlags(command.command("start"))
    .description("copy a file or a tree to another place, each file proved whole before it gets its name")
    .argument("<source>", "BOX:/PATH, or /PATH where only one box has it")
    .argument("<destination>", "what the copy is called there")
    .option("-w, --watch", "follow it with bars until it is over; its end is the exit status")
    .option("--include <pattern>", "only files like it; may be given several times", gather)
    .option("--exclude <pattern>", "no files like it; may be given several times", gather)
    .addOption(new Option("--verify <level>", "what proves a file; full when left out").choices([...VERIFY_LEVELS]))
    .addOption(new Option("--priority <priority>", "before or after others").choices([...PRIORITIES]))
    .option("--bandwidth <mbit>", "Mbit/s, all workers together")
    .option("--chunk-size <mib>", "MiB that a worker is given at a time; 64 when left out")
    .option("--deadline <time>", "it fails when it is not done by then, such as 2h or 2026-01-15T10:00:00Z")
    .option("--delete", "remove at the destination what the source does not have")
    .option("--preserve <list>", `some of ${PRESERVED.join(",")}; all but owner and the attributes when left out`)
    .option("--id <id>", "an id of one's own; the same request under the same id is the same transfer")
    .addHelpText(
      "after",
      `
Patterns: *.mp4 for names in any directory, day-*/*.mp4 for paths below the source; ** is any number of directories, and a
directory takes all that is in it along. Quote them.

Exit status with --watch: 0 completed · 130 cancelled · of one that failed, by what failed first: 66 not there · 69 not reached,
no file, or past its deadline · 74 disk · 75 changed meanwhile · 77 not allowed

Examples:
  sluice sync start north-1:/srv/recordings/day-1 archive:/archive/north-1/day-1 --watch
  sluice sync start north-1:/srv/recordings archive:/archive/north-1 --include '*.mp4' --bandwidth 20 --priority low`,
    )
    .action(async (source: string, destination: string, flags: StartFlags) =>
      finish(await runSyncStart({ source, destination }, flags, context)),
    );
}

export async function runSyncStart(given: GivenPlaces, flags: StartFlags, context: CommandContext): Promise<number> {
  const { io, signal, clock } = context;
  const { hub, places } = await openPlaces(given, flags, context);
  const asked = transferFromFlags(flags, places, clock.wallMs());
  const accepted = await hub.transfers.create(asked, signal).catch(refuseByFlag);
  const id = accepted.request_id;
  if (flags.watch !== true) {
    if (flags.json === true) printJson(io, accepted);
    else io.write(`transfer ${id} is queued; sluice sync show ${id} --watch follows it\n`);
    return 0;
  }
  if (flags.json !== true) io.write(`transfer ${id}\n`);
  return follow(id, flags, { hub, context });
}

async function follow(
  id: string,
  flags: HubFlags,
  { hub, context }: { readonly hub: HubClient; readonly context: CommandContext },
): Promise<number> {
  const { io } = context;
  const over = await watchTransfer(id, hub, context);
  if (flags.json === true) printJson(io, over);
  else io.write(renderTransfer(over, viewOf(context)));
  return 0;
}

export async function runSyncList(flags: ListFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  return show(flags, { hub, context }, async (signal) => {
    const items = inListOrder(await collect(hub.transfers.list({ state: flags.state?.toUpperCase() }, signal)));
    return { json: { items }, text: (view) => renderTransfers(items, view) };
  });
}

export async function runSyncShow(given: string, flags: WatchFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const found = await findTransfer(hub, given, context.signal);
  if (flags.watch === true) return follow(found.request_id, flags, { hub, context });
  if (flags.json === true) printJson(context.io, found);
  else context.io.write(renderTransfer(found, viewOf(context)));
  return 0;
}

export async function runSyncCancel(
  given: readonly string[],
  flags: HubFlags & { readonly wait: boolean },
  context: CommandContext,
): Promise<number> {
  const { io, signal, clock } = context;
  const hub = await openHub(flags, context);
  const ids: string[] = [];
  for (const text of given) ids.push((await findTransfer(hub, text, signal)).request_id);
  const items: { readonly request_id: string; readonly gone: boolean }[] = [];
  for (const id of ids) {
    await hub.transfers.remove(id, signal).catch(orNothing);
    const untilMs = clock.monotonicMs() + GONE_LIMIT_MS;
    let isGone = false;
    while (flags.wait && !isGone && clock.monotonicMs() < untilMs) {
      isGone = (await hub.transfers.get(id, signal).catch(orNothing)) === undefined;
      if (!isGone) await clock.delay(GONE_LOOK_MS, signal);
    }
    items.push({ request_id: id, gone: isGone });
  }
  if (flags.json === true) printJson(io, { items });
  else
    for (const { request_id, gone } of items)
      io.write(
        `transfer ${request_id} ${gone ? "is gone" : "is being ended; it goes when its workers have confirmed"}\n`,
      );
  return 0;
}

export async function runSyncRetry(given: string, flags: WatchFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const hub = await openHub(flags, context);
  const { request_id: id } = await findTransfer(hub, given, signal);
  const accepted = await hub.transfers.retry(id, signal).catch(refuseByFlag);
  if (flags.watch === true) return follow(id, flags, { hub, context });
  if (flags.json === true) printJson(io, accepted);
  else io.write(`transfer ${id} goes on\n`);
  return 0;
}

async function findTransfer(hub: HubClient, given: string, signal: AbortSignal): Promise<SyncProgress> {
  if (requestIdSchema.safeParse(given).success) {
    const exact = await hub.transfers.get(given, signal).catch(orNothing);
    if (exact !== undefined) return exact;
  }
  const transfers = await collect(hub.transfers.list({}, signal));
  const resolution = resolveName(
    given,
    transfers.map((transfer) => ({ id: transfer.request_id, transfer })),
  );
  if (resolution.kind === "found") return resolution.item.transfer;
  const candidates = resolution.kind === "several" ? resolution.candidates : [];
  throw notOne("transfer", given, candidates, "sluice sync ls shows all");
}

function lower(text: string): string {
  return text.toLowerCase();
}
