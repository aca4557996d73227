import { Command, Option } from "commander";
import { AppError } from "../../base/errors.ts";
import type { HubClient } from "../../client/hub-client.ts";
import { parseStreamFile } from "../../config/fleet-file.ts";
import type { FleetWorkloadView } from "../../contract/fleet/expected-view.ts";
import { WORKLOAD_STATES } from "../../contract/workload.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { explainStream } from "../explain-stream.ts";
import { findBox, findStream, orNothing, parseStreamAddress } from "../find-box.ts";
import { addHubFlags, type HubFlags, openHub } from "../hub-session.ts";
import { collect, printJson } from "../output.ts";
import { gather, parseDurationSeconds, parseWhole } from "../parse-values.ts";
import { readGivenFile } from "../read-given-file.ts";
import { show, type WatchFlags } from "../show.ts";
import { type StreamFlags, streamFromFlags } from "../stream-from-flags.ts";
import { renderStream, renderStreams, streamState } from "../stream-views.ts";
import { waitForStream } from "../wait-for-stream.ts";

interface ListFlags extends WatchFlags {
  readonly box?: string;
  readonly labels?: string;
  readonly state?: string;
  readonly text?: string;
  readonly limit?: string;
}

interface StartFlags extends HubFlags, StreamFlags {
  readonly file?: string;
  readonly replace?: boolean;
  readonly takeOver?: boolean;
  readonly wait?: string | boolean;
}

interface TurnFlags extends HubFlags {
  readonly takeOver?: boolean;
  readonly wait?: string | boolean;
}

const STATES = [...WORKLOAD_STATES, "hibernated", "unknown"];
const DEFAULT_WAIT_SECONDS = 60;
const WAIT = ["--wait [duration]", "wait until the box has done it, 60 s at the most unless told otherwise"] as const;
const TAKE_OVER = ["--take-over", "also where a rollout placed it: it is then one's own"] as const;

export function streamCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("stream").description("the streams of the fleet: look, start, stop, hibernate, explain");
  addListing(command, context, finish);
  addStart(command, context, finish);
  addTurns(command, context, finish);
  return command.addHelpText(
    "after",
    `
STREAM is BOX/STREAM, or STREAM alone where only one box has it. Names may be shortened as those of boxes.
States are those of sluice status, and: hibernated (kept, not run), unknown (the box has not spoken of it).`,
  );
}

function addListing(command: Command, context: CommandContext, finish: Finish): void {
  addHubFlags(command.command("ls"))
    .description("list streams of all boxes with their state and figures")
    .option("-b, --box <box>", "only those of one box")
    .option("-l, --labels <selector>", "only those on boxes whose labels match")
    .addOption(new Option("--state <state>", "only those in this state").choices(STATES))
    .option("--text <part>", "only those whose id or name holds this")
    .option("--limit <number>", "at most so many")
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (flags: ListFlags) => finish(await runStreamList(flags, context)));
  addHubFlags(command.command("show"))
    .description("show one stream: what it is, how it does, what ended it last")
    .argument("<stream>")
    .option("-w, --watch", "show it again at each change, until Ctrl-C")
    .action(async (stream: string, flags: WatchFlags) => finish(await runStreamShow(stream, flags, context)));
  addHubFlags(command.command("explain"))
    .description("say why a stream is in its state, from who wants it to what happens next")
    .argument("<stream>")
    .action(async (stream: string, flags: HubFlags) => finish(await runStreamExplain(stream, flags, context)));
}

function addStart(command: Command, context: CommandContext, finish: Finish): void {
  addHubFlags(command.command("start"))
    .description("have a box keep a new stream running, or wake a hibernated one")
    .argument("<box/stream>", "the box, and the id of the stream")
    .option("-i, --input <url>", "where it reads: rtsp://…, rtmp://…, srt://…, a file, test://bars")
    .option("-o, --output <url>", "where it sends; may be given several times", gather)
    .option("-f, --file <file>", "the whole stream as YAML or JSON; - is standard input")
    .option("--name <name>", "a name for people")
    .option("--video <encoder>", "copy, none, or an encoder of the box's FFmpeg such as libx264")
    .option("--audio <encoder>", "copy, none, or an encoder such as aac")
    .option("--size <WxH>", "picture size, with an encoder")
    .option("--fps <number>", "pictures a second, with an encoder")
    .option("--bitrate <kbit>", "kbit/s of video, with an encoder")
    .addOption(new Option("--rtsp <transport>", "how RTSP media travels").choices(["tcp", "udp"]))
    .option("--loop", "read a file again at its end")
    .option("--preview", "keep a small picture of it")
    .option("--replace", "also where the box has a stream of this id that is another")
    .option(...TAKE_OVER)
    .option(...WAIT)
    .addHelpText(
      "after",
      `
A stream key on the command line can be read by every user of this machine: --file keeps it out of sight.

Examples:
  sluice stream start north-1/cam-1 -i rtsp://10.0.0.20/main -o rtmp://ingest.example/live/KEY --wait
  sluice stream start north-1/cam-1 -f cam-1.yaml`,
    )
    .action(async (stream: string, flags: StartFlags) => finish(await runStreamStart(stream, flags, context)));
}

function addTurns(command: Command, context: CommandContext, finish: Finish): void {
  addHubFlags(command.command("stop"))
    .description("have boxes stop streams and forget them")
    .argument("<stream...>")
    .option(...TAKE_OVER)
    .option(...WAIT)
    .action(async (streams: string[], flags: TurnFlags) =>
      finish(
        await turnEach(streams, flags, context, {
          said: "is stopped and forgotten",
          until: "gone",
          act: (hub, { box, workload }) =>
            hub.workloads.remove(box, { id: workload.id, takeOver: flags.takeOver }, context.signal),
        }),
      ),
    );
  const turns = [
    ["hibernate", "stop streams and keep their place", "is hibernated", "gone"],
    ["wake", "have hibernated streams run again", "is awake", "running"],
  ] as const;
  for (const [verb, description, said, until] of turns) {
    addHubFlags(command.command(verb))
      .description(description)
      .argument("<stream...>")
      .option(...WAIT)
      .action(async (streams: string[], flags: TurnFlags) =>
        finish(
          await turnEach(streams, flags, context, {
            said,
            until,
            act: (hub, { box, workload }) => hub.workloads.turn(box, { id: workload.id, verb }, context.signal),
          }),
        ),
      );
  }
}

export async function runStreamList(flags: ListFlags, context: CommandContext): Promise<number> {
  const limit = flags.limit === undefined ? undefined : parseWhole(flags.limit, { field: "--limit", min: 1, max: 1e6 });
  const { labels, state, text } = flags;
  const hub = await openHub(flags, context);
  const box = flags.box === undefined ? undefined : await findBox(hub, flags.box, context.signal);
  return show(flags, { hub, context }, async (signal) => {
    const items =
      box === undefined
        ? await collect(hub.workloads.list({ labels, state, text, limit }, signal))
        : (await hub.boxes.expected(box.id, signal)).items
            .map((entry) => ({ ...entry, box: box.id, boxName: box.name }))
            .filter((stream) => state === undefined || streamState(stream) === state)
            .filter(({ workload }) => text === undefined || `${workload.id}\n${workload.name}`.includes(text))
            .slice(0, limit);
    return { json: { items }, text: (view) => renderStreams(items, { ...view, withBox: true }) };
  });
}

export async function runStreamShow(given: string, flags: WatchFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const found = await findStream(hub, given, context.signal);
  return show(flags, { hub, context }, async (signal) => {
    const stream = { ...found, ...(await hub.workloads.get(found.box, found.workload.id, signal)) };
    return { json: stream, text: (view) => renderStream(stream, view) };
  });
}

export async function runStreamExplain(given: string, flags: HubFlags, context: CommandContext): Promise<number> {
  const hub = await openHub(flags, context);
  const stream = await findStream(hub, given, context.signal);
  const box = await hub.boxes.get(stream.box, context.signal);
  const because = explainStream({ box, stream, nowMs: context.clock.wallMs() });
  const id = `${stream.box}/${stream.workload.id}`;
  return show(flags, { hub, context }, async () => ({
    json: { id, state: streamState(stream), because },
    text: ({ paint }) =>
      [`${paint("strong", id)} is ${streamState(stream)}`, ...because.map((line) => `  - ${line}`), ""].join("\n"),
  }));
}

export async function runStreamStart(given: string, flags: StartFlags, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const address = parseStreamAddress(given);
  if (address.box === undefined) {
    throw new AppError(
      "invalid",
      `BOX/STREAM: given ${JSON.stringify(given)}; allowed: the box too, as in north-1/cam-1`,
      {
        field: "BOX/STREAM",
      },
    );
  }
  const hub = await openHub(flags, context);
  const box = await findBox(hub, address.box, signal);
  const held = await hub.workloads.get(box.id, address.stream, signal).catch(orNothing);
  const isDescribed = flags.input !== undefined || flags.output !== undefined || flags.file !== undefined;
  if (held !== undefined && !isDescribed) {
    const stream = { ...held, box: box.id, boxName: box.name };
    return turnEach([`${box.id}/${address.stream}`], flags, context, {
      said: stream.desired === "running" ? "runs already" : "is awake",
      until: "running",
      act: (to) => to.workloads.turn(box.id, { id: address.stream, verb: "wake" }, signal),
    });
  }
  const workload = await describedStream(address.stream, flags, context);
  if (held !== undefined && flags.replace !== true) {
    throw new AppError(
      "conflict",
      `${box.id} has a stream ${address.stream} already: --replace puts this one in its place`,
    );
  }
  const body = { workload, desired: "running" } as const;
  const change = await hub.workloads.put(box.id, { body, takeOver: flags.takeOver }, signal);
  await waitAsTold(
    flags.wait,
    { box: box.id, id: workload.id, until: "running", revision: change.revision },
    hub,
    context,
  );
  if (flags.json === true) printJson(io, { box: box.id, workload: workload.id, ...change });
  else
    io.write(
      `${box.id}/${workload.id} ${flags.wait === undefined ? "is expected to run" : "runs"} (revision ${change.revision})\n`,
    );
  return 0;
}

async function describedStream(id: string, flags: StartFlags, context: CommandContext) {
  if (flags.file === undefined) return streamFromFlags(id, flags);
  const { path, text } = await readGivenFile(flags.file, "--file", context);
  const { desired: _desired, ...stream } = parseStreamFile(path, text);
  if (stream.id === id) return stream;
  throw new AppError("invalid", `${path}: id is ${stream.id}; allowed: ${id}, as in the argument`, { field: "id" });
}

interface Turn {
  readonly said: string;
  readonly until: "running" | "gone";
  readonly act: (
    hub: HubClient,
    stream: FleetWorkloadView,
  ) => Promise<{ readonly revision: number; readonly changed: boolean }>;
}

/** All names are resolved before anything is changed. */
async function turnEach(
  names: readonly string[],
  flags: TurnFlags,
  context: CommandContext,
  { said, until, act }: Turn,
): Promise<number> {
  const { io, signal } = context;
  const hub = await openHub(flags, context);
  const streams: FleetWorkloadView[] = [];
  for (const name of names) streams.push(await findStream(hub, name, signal));
  const items: unknown[] = [];
  for (const stream of streams) {
    const { box, workload } = stream;
    const change = await act(hub, stream);
    await waitAsTold(flags.wait, { box, id: workload.id, until, revision: change.revision }, hub, context);
    items.push({ box, workload: workload.id, ...change });
    if (flags.json !== true) io.write(`${box}/${workload.id} ${said} (revision ${change.revision})\n`);
  }
  if (flags.json === true) printJson(io, items.length === 1 ? items[0] : { items });
  return 0;
}

async function waitAsTold(
  wait: string | boolean | undefined,
  wanted: Omit<Parameters<typeof waitForStream>[0], "limitSeconds">,
  hub: HubClient,
  context: CommandContext,
): Promise<void> {
  if (wait === undefined || wait === false) return;
  const limitSeconds = wait === true ? DEFAULT_WAIT_SECONDS : parseDurationSeconds(wait, "--wait");
  await waitForStream({ ...wanted, limitSeconds }, hub, context);
}
