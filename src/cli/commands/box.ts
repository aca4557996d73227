import { Command, Option } from "commander";
import { AppError } from "../../base/errors.ts";
import { BOX_CONNECTIONS, BOX_STATES, type BoxView } from "../../contract/fleet/box-view.ts";
import { renderBox, renderBoxes, renderHistory, stateOf } from "../box-views.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { confirm } from "../confirm.ts";
import { findBox } from "../find-box.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect, printJson } from "../output.ts";
import { applyLabelChanges, parseLabelChanges, parseWhole } from "../parse-values.ts";
import { show, type WatchFlags } from "../show.ts";
import { renderStreams } from "../stream-views.ts";
import { enrolTokenCommand } from "./box-enrol-token.ts";

interface ListFlags extends WatchFlags {
  readonly labels?: string;
  readonly state?: string;
  readonly connection?: string;
  readonly draining?: boolean;
  readonly text?: string;
  readonly limit?: string;
}

interface ChangeFlags extends HubFlags {
  readonly yes?: boolean;
}

/** Someone else's change in between: the same labels are set upon what is there then. */
const LABEL_TRIES = 4;

export function boxCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("box").description("the boxes of the fleet: look, label, drain, approve, revoke, enrol");
  addListing(command, context, finish);
  addChanges(command, context, finish);
  addDecisions(command, context, finish);
  command.addCommand(enrolTokenCommand(context, finish));
  return command.addHelpText(
    "after",
    `
BOX is an id or a name: whole, else what alone begins with it, else what alone holds it.
Selectors: site=north,role!=spare,gpu,!old,zone in (a,b)`,
  );
}

function addListing(command: Command, context: CommandContext, finish: Finish): void {
  addHubFlags(command.command("ls"))
    .description("list boxes with their state, last contact and streams")
    .option("-l, --labels <selector>", "only boxes whose labels match")
    .addOption(new Option("--state <state>", "only boxes in this state").choices(BOX_STATES))
    .addOption(new Option("--connection <state>", "only boxes so connected").choices(BOX_CONNECTIONS))
    .option("--draining", "only boxes that are drained")
    .option("--text <part>", "only boxes whose id or name holds this")
    .option("--limit <number>", "at most so many")
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (flags: ListFlags) => finish(await runBoxList(flags, context)));
  addHubFlags(command.command("show"))
    .description("show one box with its machine, incidents and streams")
    .argument("<box>")
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (box: string, flags: WatchFlags) => finish(await runBoxShow(box, flags, context)));
  addHubFlags(command.command("history"))
    .description("incidents, gaps in streams and starts of the agent, newest first")
    .argument("<box>")
    .action(async (box: string, flags: HubFlags) => finish(await runBoxHistory(box, flags, context)));
}

function addChanges(command: Command, context: CommandContext, finish: Finish): void {
  addHubFlags(command.command("label"))
    .description("set and remove labels of a box")
    .argument("<box>")
    .argument("<label...>", "KEY=VALUE to set, KEY- to remove")
    .action(async (box: string, labels: string[], flags: HubFlags) =>
      finish(await runBoxLabel({ ...flags, box, labels }, context)),
    );
  addHubFlags(command.command("rename"))
    .description("give a box another name; its id stays")
    .argument("<box>")
    .argument("<name>")
    .action(async (box: string, name: string, flags: HubFlags) =>
      finish(await changeEach([box], flags, context, { body: { name }, done: `is called ${JSON.stringify(name)}` })),
    );
  const drains = [
    ["drain", true, "take a box out of service: rollouts place nothing new on it", "is draining"],
    ["undrain", false, "put a box back into service", "is in service"],
  ] as const;
  for (const [verb, draining, description, done] of drains) {
    addHubFlags(command.command(verb))
      .description(description)
      .argument("<box...>")
      .action(async (boxes: string[], flags: HubFlags) =>
        finish(await changeEach(boxes, flags, context, { body: { draining }, done })),
      );
  }
}

function addDecisions(command: Command, context: CommandContext, finish: Finish): void {
  const decisions = [
    ["approve", "let a box that asked to join work", undefined, "is approved"],
    ["release", "let a box out of quarantine", undefined, "is released"],
    ["revoke", "cut a box off within seconds: its key is void, its streams go on", "Cut off", "is revoked"],
  ] as const;
  for (const [verb, description, question, done] of decisions) {
    const leaf = addHubFlags(command.command(verb)).description(description).argument("<box...>");
    if (question !== undefined) leaf.option("-y, --yes", "do not ask");
    leaf.action(async (boxes: string[], flags: ChangeFlags) =>
      finish(
        await decideEach(boxes, flags, context, {
          question,
          act: async (hub, box) => {
            const after = await hub.boxes.act(box.id, verb, context.signal);
            return { view: after, said: `${box.id} ${done} (${stateOf(after)})` };
          },
        }),
      ),
    );
  }
  addHubFlags(command.command("forget"))
    .description("remove a box with everything the hub knows of it")
    .argument("<box...>")
    .option("-y, --yes", "do not ask")
    .action(async (boxes: string[], flags: ChangeFlags) =>
      finish(
        await decideEach(boxes, flags, context, {
          question: "Forget, with history and expected streams,",
          act: async (hub, box) => {
            await hub.boxes.forget(box.id, context.signal);
            return { view: { id: box.id, forgotten: true }, said: `${box.id} is forgotten` };
          },
        }),
      ),
    );
}

export async function runBoxList(flags: ListFlags, context: CommandContext): Promise<number> {
  const limit = flags.limit === undefined ? undefined : parseWhole(flags.limit, { field: "--limit", min: 1, max: 1e6 });
  const { labels, state, connection, draining, text } = flags;
  const hub = await openHub(flags, context);
  return show(flags, { hub, context }, async (signal) => {
    const items = await collect(hub.boxes.list({ labels, state, connection, draining, text, limit }, signal));
    return { json: { items }, text: (view) => renderBoxes(items, view) };
  });
}

export async function runBoxShow(given: string, flags: WatchFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const { id } = await findBox(hub, given, context.signal);
  return show(flags, { hub, context }, async (signal) => {
    const [box, expected] = await Promise.all([hub.boxes.get(id, signal), hub.boxes.expected(id, signal)]);
    const streams = expected.items.map((entry) => ({ ...entry, box: box.id, boxName: box.name }));
    return {
      json: box,
      text: (view) => `${renderBox(box, view)}\n${renderStreams(streams, { ...view, withBox: false })}`,
    };
  });
}

export async function runBoxHistory(given: string, flags: HubFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const box = await findBox(hub, given, context.signal);
  const history = await hub.boxes.history(box.id, context.signal);
  return show(flags, { hub, context }, async () => ({ json: history, text: (view) => renderHistory(history, view) }));
}

export async function runBoxLabel(
  flags: HubFlags & { readonly box: string; readonly labels: readonly string[] },
  context: CommandContext,
): Promise<number> {
  const changes = parseLabelChanges(flags.labels, "LABEL");
  const hub = await openHub(flags, context);
  let box = await findBox(hub, flags.box, context.signal);
  for (let tried = 1; ; tried++) {
    const body = { labels: applyLabelChanges(box.labels, changes) };
    try {
      box = await hub.boxes.patch(box.id, { body, ifRevision: box.revision }, context.signal);
      break;
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== "conflict" || tried === LABEL_TRIES) throw error;
      box = await hub.boxes.get(box.id, context.signal);
    }
  }
  const labels = Object.entries(box.labels).map(([key, value]) => `${key}=${value}`);
  if (flags.json === true) printJson(context.io, box);
  else context.io.write(`${box.id} has ${labels.length === 0 ? "no labels" : labels.sort().join(" ")}\n`);
  return 0;
}

/** All names are resolved before anything is changed. */
async function changeEach(
  names: readonly string[],
  flags: HubFlags,
  context: CommandContext,
  { body, done }: { readonly body: { readonly name?: string; readonly draining?: boolean }; readonly done: string },
): Promise<number> {
  return decideEach(names, flags, context, {
    question: undefined,
    act: async (hub, box) => ({
      view: await hub.boxes.patch(box.id, { body }, context.signal),
      said: `${box.id} ${done}`,
    }),
  });
}

interface Decision {
  /** Asked before anything is done; undefined: nothing to ask. */
  readonly question: string | undefined;
  readonly act: (
    hub: Awaited<ReturnType<typeof openHub>>,
    box: BoxView,
  ) => Promise<{ readonly view: unknown; readonly said: string }>;
}

async function decideEach(
  names: readonly string[],
  flags: ChangeFlags,
  context: CommandContext,
  { question, act }: Decision,
): Promise<number> {
  const { io, signal } = context;
  const hub = await openHub(flags, context);
  const boxes: BoxView[] = [];
  for (const name of names) boxes.push(await findBox(hub, name, signal));
  if (question !== undefined) {
    await confirm(`${question} ${boxes.map(({ id }) => id).join(", ")}?`, { yes: flags.yes, io });
  }
  const items: unknown[] = [];
  for (const box of boxes) {
    const { view, said } = await act(hub, box);
    items.push(view);
    if (flags.json !== true) io.write(`${said}\n`);
  }
  if (flags.json === true) printJson(io, items.length === 1 ? items[0] : { items });
  return 0;
}
