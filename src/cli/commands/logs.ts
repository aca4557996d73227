import { Command, Option } from "commander";
import { AppError } from "../../base/errors.ts";
import { formatWallTime, oneLine } from "../../base/log.ts";
import type { HubClient } from "../../client/hub-client.ts";
import { ERROR_POLICY } from "../../contract/error-code.ts";
import type { LogRecord, OutputName } from "../../contract/fleet/log-line.ts";
import type { CommandContext, Finish } from "../command-context.ts";
import { addPlaceFlags, type PlaceFlags, withAgent } from "../find-agent.ts";
import { findBox, notOne } from "../find-box.ts";
import { findSession } from "../find-session.ts";
import { followLog, type LogReading } from "../follow-log.ts";
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
  readonly stdout?: boolean;
  readonly stderr?: boolean;
}

const DEFAULT_LINES = "100";
const MAX_LINES = { local: 100_000, hub: 10_000 } as const;

export function logsCommand(context: CommandContext, finish: Finish): Command {
  const command = new Command("logs")
    .description("print the last lines of a workload's own output, or of an agent's log")
    .argument(
      "[box]",
      "the box or session, where a hub is known; otherwise, and with --local, the workload of this machine",
    )
    .argument("[workload]", "a workload of the box; the agent's own log when left out")
    .option("-f, --follow", "go on with what is written from now on, across rotation, until Ctrl-C")
    .option("-n, --tail <number>", `how many lines to begin with (default: ${DEFAULT_LINES})`)
    .addOption(new Option("--lines <number>").hideHelp())
    .option("--since <time>", "nothing before it, such as 15m or 2026-01-15T10:00:00Z")
    .option("--stdout", "of a session: only what it wrote to its standard output")
    .option("--stderr", "of a session: only what it wrote to its standard error")
    .option("--local", "ask this machine's own agent, also where a hub is known")
    .option("--json", "print each line and gap, and through a hub the end, as one line of JSON")
    .option("--context <name>", "of a box: the hub to ask (SLUICE_CONTEXT)");
  return addPlaceFlags(command)
    .addHelpText(
      "after",
      `
Whose log: without a name this machine's own agent. With one, a box of the hub that was logged in to (or that SLUICE_HUB
names), or a session wherever it runs; where no hub is known, a workload of this machine. --local, --state-dir and --config always mean this machine.
Secrets are taken out. What was lost on the way is told on standard error, with how much. A session's lines bear the output
they were written to; a byte that is no text is \\xNN, and [stdout+] is a line that goes on in the next one of its output. A
session's log is followed across restarts of its box, its agent and its hub, and across hibernation.

Examples:
  sluice logs north-1 cam-1 -f      a stream of a box, through the hub
  sluice logs north-1 --since 1h    the agent of a box
  sluice logs --local cam-1 -f      a stream of this machine
  sluice logs player -f --stderr --since 10m    what a session complains about, on whichever box`,
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
  // All there is since then, unless somebody wants the end of it alone.
  const most = flags.since === undefined ? DEFAULT_LINES : String(MAX_LINES[source.kind]);
  const given = flags.tail ?? flags.lines ?? most;
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
  const follow = flags.follow === true;
  const output = outputOf(flags);
  const first = { tail, since: sinceOf(flags, context) };
  return withAgent(flags, context, async (agent) => {
    const read = (wish: LogReading) =>
      agent.logRecords(id, { lines: wish.tail, since: wish.since, follow, output }, signal);
    for await (const record of recordsOf({ first, maxTail: MAX_LINES.local, isSession: false, read }, flags, context)) {
      print(record, flags, context);
    }
    if (follow && !signal.aborted) {
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
  const { io, signal } = context;
  const first = { tail: wanted.tail, since: sinceOf(flags, context) };
  const hub = await openHub(hubFlags(flags), context);
  const { box, workload, isSession } = await findLog(hub, wanted, signal);
  const follow = flags.follow === true;
  const output = outputOf(flags);
  const read = (wish: LogReading) => hub.logs(box, { workload, ...wish, follow, output }, signal);
  for await (const record of recordsOf({ first, maxTail: MAX_LINES.hub, isSession, read }, flags, context)) {
    print(record, flags, context);
    if (record.type !== "end") continue;
    if (signal.aborted || (!follow && record.failed !== true)) return 0;
    io.writeError(`sluice: the log of ${box} ends here: ${oneLine(record.reason)}\n`);
    return ERROR_POLICY.unavailable.exit;
  }
  if (signal.aborted) return 0;
  throw new AppError("unavailable", `the hub broke off the log of ${box}`);
}

interface Reading {
  readonly first: LogReading;
  readonly maxTail: number;
  /** Known to be a session's, which goes on after a break; of others their lines show it. */
  readonly isSession: boolean;
  readonly read: (wish: LogReading) => AsyncIterable<LogRecord>;
}

function recordsOf(
  { read, ...reading }: Reading,
  flags: LogsFlags,
  { io, clock, signal }: CommandContext,
): AsyncIterable<LogRecord> {
  if (flags.follow !== true) return read(reading.first);
  const onBreak = (reason: string) =>
    io.writeError(`sluice: the log broke off (${oneLine(reason)}); it is read on from its last line\n`);
  return followLog(reading, { read, clock, onBreak }, signal);
}

function sinceOf({ since }: LogsFlags, { clock }: CommandContext): string | undefined {
  return since === undefined ? undefined : parseMoment(since, { field: "--since", nowMs: clock.wallMs() });
}

function outputOf({ stdout, stderr }: LogsFlags): OutputName | undefined {
  if (stdout === stderr) return undefined;
  return stdout === true ? "stdout" : "stderr";
}

function print(record: LogRecord, { json }: LogsFlags, { io }: CommandContext): void {
  if (json === true) printJsonLine(io, record);
  else if (record.type === "line") io.write(`${lineText(record, io.isTerminal)}\n`);
  else if (record.type === "gap") {
    const amount = [
      ...(record.lines === undefined ? [] : [countOf(record.lines, "line")]),
      ...(record.bytes === undefined ? [] : [countOf(record.bytes, "byte")]),
    ];
    io.writeError(`sluice: ${amount.join(", ") || "something"} missing here: ${oneLine(record.reason)}\n`);
  }
}

/** What a camera or a server made a program print must not drive the reader's terminal. */
function lineText(
  { at, output, continues, text }: Extract<LogRecord, { readonly type: "line" }>,
  isTerminal: boolean,
): string {
  const shown = isTerminal ? oneLine(text) : text;
  if (output === undefined) return shown;
  const time = at === undefined ? "" : `[${formatWallTime(Date.parse(at))}] `;
  return `${time}[${output}${continues === true ? "+" : ""}] ${shown}`;
}

interface FoundLog {
  readonly box: string;
  /** Absent: the agent's. */
  readonly workload: string | undefined;
  readonly isSession: boolean;
}

/** A name alone is a box's or, where no box has it, a session's. */
async function findLog(
  hub: HubClient,
  wanted: { readonly box: string; readonly workload: string | undefined },
  signal: AbortSignal,
): Promise<FoundLog> {
  if (wanted.workload !== undefined) {
    const { id } = await findBox(hub, wanted.box, signal);
    const { items } = await hub.boxes.expected(id, signal);
    return { box: id, ...logOfWorkload(wanted.workload, id, items) };
  }
  try {
    return { box: (await findBox(hub, wanted.box, signal)).id, workload: undefined, isSession: false };
  } catch (thrown) {
    const isUnknown = thrown instanceof AppError && thrown.code === "not-found";
    const session = isUnknown ? await findSession(hub, wanted.box, signal).catch(() => undefined) : undefined;
    if (session?.box === undefined) throw thrown;
    return { box: session.box, workload: session.id, isSession: true };
  }
}

interface NamedWorkload {
  readonly workload: { readonly id: string; readonly kind: string; readonly name?: string | undefined };
}

/** A workload that the box no longer should run may still have a log: its whole id is taken as it is. */
function logOfWorkload(given: string, box: string, items: readonly NamedWorkload[]): Omit<FoundLog, "box"> {
  const named = items.map(({ workload: { id, name, kind } }) => ({ id, name, isSession: kind === "session" }));
  const resolution = resolveName(given, named);
  if (resolution.kind === "found") return { workload: resolution.item.id, isSession: resolution.item.isSession };
  if (resolution.kind === "none") return { workload: given, isSession: false };
  throw notOne(`workload of ${box}`, given, resolution.candidates, "");
}

function hubFlags({ context }: LogsFlags): { readonly context?: string } {
  return context === undefined ? {} : { context };
}
