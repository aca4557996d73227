import { Command, Option } from "commander";
import { AppError } from "../../base/errors.ts";
import { oneLine } from "../../base/log.ts";
import { ERROR_POLICY } from "../../contract/error-code.ts";
import type { LogRecord } from "../../contract/fleet/log-line.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addPlaceFlags, type PlaceFlags, withAgent } from "../find-agent.ts";
import { findBox, notOne } from "../find-box.ts";
import { findHub, openHub } from "../hub-session.ts";
import { chooseLogSource } from "../log-source.ts";
import { countOf, printJsonLine } from "../output.ts";
import { parseMoment, parseWhole } from "../parse-values.ts";
import { resolveName } from "../resolve-name.ts";

export interface LogsFlags extends PlaceFlags {
  readonly local?: boolean;
  readonly context?: string;
  readonly follow?: boolean;
  readonly tail?: string;
  /** The older name of `tail`. */
  readonly lines?: string;
  readonly since?: string;
  readonly json?: boolean;
}

const DEFAULT_LINES = "100";
const MAX_LINES = { local: 100_000, hub: 10_000 } as const;

export function logsCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("logs")
    .description("print the last lines of a workload's own output, or of an agent's log")
    .argument("[box]", "the box, where a hub is known; otherwise, and with --local, the workload of this machine")
    .argument("[workload]", "a workload of the box; the agent's own log when left out")
    .option("-f, --follow", "go on with what is written from now on, across rotation, until Ctrl-C")
    .option("-n, --tail <number>", `how many lines to begin with (default: ${DEFAULT_LINES})`)
    .addOption(new Option("--lines <number>").hideHelp())
    .option("--since <time>", "of a box: nothing before it, such as 15m or 2026-01-15T10:00:00Z")
    .option("--local", "ask this machine's own agent, also where a hub is known")
    .option("--json", "of a box: print each line, gap and end as one line of JSON")
    .option("--context <name>", "of a box: the hub to ask (SLUICE_CONTEXT)");
  return addPlaceFlags(command)
    .addHelpText(
      "after",
      `
Whose log: without a name this machine's own agent. With one, a box of the hub that was logged in to (or that SLUICE_HUB
names); where no hub is known, a workload of this machine. --local, --state-dir and --config always mean this machine.
The secrets of streams are taken out. What was lost on the way is told on standard error, with how much.

Examples:
  sluice logs north-1 cam-1 -f      a stream of a box, through the hub
  sluice logs north-1 --since 1h    the agent of a box
  sluice logs --local cam-1 -f      a stream of this machine`,
    )
    .action(async (box: string | undefined, workload: string | undefined, flags: LogsFlags) =>
      finish(
        await runLogs(
          [box, workload].filter((name) => name !== undefined),
          flags,
          context,
        ),
      ),
    );
}

export async function runLogs(names: readonly string[], flags: LogsFlags, context: CommandContext): Promise<number> {
  const saysLocal = flags.local === true || flags.stateDir !== undefined || flags.config !== undefined;
  const knowsHub = !saysLocal && names.length > 0 && (await findHub(hubFlags(flags), context)) !== undefined;
  const source = chooseLogSource({ names, saysLocal, saysHub: flags.context !== undefined, knowsHub });
  const given = flags.tail ?? flags.lines ?? DEFAULT_LINES;
  const tail = parseWhole(given, { field: "--tail", min: 0, max: MAX_LINES[source.kind] });
  return source.kind === "local"
    ? printLocal({ id: source.id, tail }, flags, context)
    : printRemote({ ...source, tail }, flags, context);
}

async function printLocal(
  { id, tail }: { readonly id: string; readonly tail: number },
  flags: LogsFlags,
  context: CommandContext,
): Promise<number> {
  const { io, signal } = context;
  for (const flag of ["since", "json"] as const) {
    if (flags[flag] === undefined) continue;
    throw new AppError("invalid", `--${flag}: is for the log of a box, through a hub`, { field: `--${flag}` });
  }
  const options = { lines: tail, follow: flags.follow === true };
  return withAgent(flags, context, async (agent) => {
    for await (const text of agent.logs(id, options, signal)) {
      io.write(io.isTerminal ? withoutTerminalCodes(text) : text);
    }
    if (options.follow && !signal.aborted) {
      io.writeError("sluice: the agent has stopped; this log ends here\n");
      return ERROR_POLICY.unavailable.exit;
    }
    return 0;
  });
}

async function printRemote(
  wanted: { readonly box: string; readonly workload: string | undefined; readonly tail: number },
  flags: LogsFlags,
  context: CommandContext,
): Promise<number> {
  const { io, signal, clock } = context;
  const since =
    flags.since === undefined ? undefined : parseMoment(flags.since, { field: "--since", nowMs: clock.wallMs() });
  const hub = await openHub(hubFlags(flags), context);
  const box = await findBox(hub, wanted.box, signal);
  const workload =
    wanted.workload === undefined
      ? undefined
      : nameOfWorkload(wanted.workload, box.id, (await hub.boxes.expected(box.id, signal)).items);
  const query = { workload, tail: wanted.tail, since, follow: flags.follow === true };
  for await (const record of hub.logs(box.id, query, signal)) {
    if (flags.json === true) printJsonLine(io, record);
    else printRecord(record, context);
    if (record.type !== "end") continue;
    if (signal.aborted || (!query.follow && record.failed !== true)) return 0;
    io.writeError(`sluice: the log of ${box.id} ends here: ${oneLine(record.reason)}\n`);
    return ERROR_POLICY.unavailable.exit;
  }
  if (signal.aborted) return 0;
  throw new AppError("unavailable", `the hub broke off the log of ${box.id}`);
}

function printRecord(record: LogRecord, { io }: CommandContext): void {
  if (record.type === "line") io.write(`${io.isTerminal ? oneLine(record.text) : record.text}\n`);
  else if (record.type === "gap") {
    const amount = [
      ...(record.lines === undefined ? [] : [countOf(record.lines, "line")]),
      ...(record.bytes === undefined ? [] : [countOf(record.bytes, "byte")]),
    ];
    io.writeError(`sluice: ${amount.join(", ") || "something"} missing here: ${oneLine(record.reason)}\n`);
  }
}

/** A workload that the box no longer should run may still have a log: its whole id is taken as it is. */
function nameOfWorkload(
  given: string,
  box: string,
  items: readonly { readonly workload: { readonly id: string; readonly name?: string | undefined } }[],
): string {
  const named = items.map(({ workload: { id, name } }) => ({ id, name }));
  const resolution = resolveName(given, named);
  if (resolution.kind === "found") return resolution.item.id;
  if (resolution.kind === "none") return given;
  throw notOne(`stream of ${box}`, given, resolution.candidates, "");
}

function hubFlags({ context }: LogsFlags): { readonly context?: string } {
  return context === undefined ? {} : { context };
}

/** What a camera or a server made FFmpeg print must not drive the reader's terminal. */
function withoutTerminalCodes(text: string): string {
  return text
    .split("\n")
    .map((line) => oneLine(line))
    .join("\n");
}
