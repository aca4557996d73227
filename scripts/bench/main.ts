/** Runs the measurements one after the other and prints one table; `run` is its front door. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { adoption } from "./adoption.ts";
import { eventToProcess } from "./event-to-process.ts";
import { exitToRestart } from "./exit-to-restart.ts";
import { footprint } from "./footprint.ts";
import { createLab, type Lab } from "./lab.ts";
import { linkFaults } from "./link-faults.ts";
import type { MeasureContext, Measurement, Row } from "./measurement.ts";
import type { Peer } from "./peers/peer.ts";
import { createPm2, installPm2 } from "./peers/pm2.ts";
import { createSupervisord } from "./peers/supervisord.ts";
import { createSystemd } from "./peers/systemd.ts";
import { placeSessions } from "./place-sessions.ts";
import { planTime } from "./plan-time.ts";
import { remoteExec } from "./remote-exec.ts";
import { remoteForward } from "./remote-forward.ts";
import { remoteLinks } from "./remote-links.ts";
import { remoteMemory } from "./remote-memory.ts";
import { isMet, renderTable } from "./render-table.ts";
import { sessionLog } from "./session-log.ts";
import { sessionWake } from "./session-wake.ts";
import { startUp } from "./start-up.ts";
import { summarize } from "./statistics.ts";
import { supervision } from "./supervision.ts";
import { transfer } from "./transfer.ts";
import { transferKill } from "./transfer-kill.ts";
import { transferMillion } from "./transfer-million.ts";
import { tunnelThroughput } from "./tunnel-throughput.ts";

const MEASUREMENTS: readonly Measurement[] = [
  planTime,
  startUp,
  eventToProcess,
  exitToRestart,
  supervision,
  linkFaults,
  adoption,
  footprint,
  tunnelThroughput,
  remoteExec,
  remoteForward,
  remoteLinks,
  remoteMemory,
  placeSessions,
  sessionWake,
  sessionLog,
  transfer,
  transferKill,
  transferMillion,
];
const EXIT = { ok: 0, incomplete: 1, usage: 64, interrupted: 130 } as const;

interface Outcome {
  readonly name: string;
  readonly rows: readonly Row[];
  readonly load: string;
}

/** What the whole run shares. */
interface Run {
  readonly stop: AbortController;
  readonly pm2Directory: string;
  readonly notes: string[];
  readonly faults: string[];
  /** Machines of their own, which no lab sweeps: ended with the measurement, however it ends. */
  readonly machines: Peer[];
  pm2: Promise<string> | undefined;
}

type Wish = Pick<MeasureContext, "isLong" | "sizeMiB" | "count" | "only">;

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new AppError("invalid", `${flag}: given ${text}; allowed: a whole number above 0`);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: "string" },
      long: { type: "boolean" },
      only: { type: "string" },
      size: { type: "string" },
      count: { type: "string" },
    },
  });
  const unknown = positionals.filter((name) => !MEASUREMENTS.some((measurement) => measurement.name === name));
  if (unknown.length > 0) {
    say(`no such measurement: ${unknown.join(", ")}; there are ${MEASUREMENTS.map(({ name }) => name).join(", ")}`);
    return EXIT.usage;
  }
  const chosen = MEASUREMENTS.filter(({ name, isOnlyNamed }) =>
    positionals.length === 0 ? isOnlyNamed !== true : positionals.includes(name),
  );
  const wish: Wish = {
    isLong: values.long === true,
    ...(values.size === undefined ? {} : { sizeMiB: positive("--size", values.size) }),
    ...(values.only === undefined ? {} : { only: values.only }),
    ...(values.count === undefined ? {} : { count: positive("--count", values.count) }),
  };

  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => stop.abort(new AppError("cancelled", `received ${signal}`)));
  }
  // What nobody waits for ends the run as a signal does: what it has begun is ended and removed, and not left to itself.
  let stray: unknown;
  process.on("unhandledRejection", (thrown) => {
    if (stop.signal.aborted) return;
    stray = thrown;
    stop.abort(thrown);
  });
  await using shared = createLab(stop.signal);
  const run: Run = {
    stop,
    pm2Directory: join(shared.directory, "packages"),
    notes: [],
    faults: [],
    machines: [],
    pm2: undefined,
  };
  if ((loadavg()[0] ?? 0) > QUIET_LOAD) {
    run.notes.push(
      `The machine was not quiet at the start (load average ${loadText()}): the figures are upper bounds.`,
    );
  }
  const outcomes: Outcome[] = [];
  for (const measurement of chosen) {
    if (stop.signal.aborted) break;
    outcomes.push(await measureOne(measurement, run, wish));
  }
  if (stray !== undefined) run.faults.push(`A failure that nobody waited for ended the run: ${messageOf(stray)}`);
  print(outcomes, run);
  if (values.json !== undefined) writeJson(values.json, outcomes, run);
  if (stop.signal.aborted && stray === undefined) return EXIT.interrupted;
  return run.faults.length > 0 ? EXIT.incomplete : EXIT.ok;
}

async function measureOne(measurement: Measurement, run: Run, wish: Wish): Promise<Outcome> {
  const { name, measure } = measurement;
  const limit = AbortSignal.timeout(measurement.limitMs * (wish.isLong ? 5 : 1));
  const signal = AbortSignal.any([run.stop.signal, limit]);
  const before = loadText();
  let rows: readonly Row[] = [];
  try {
    await using lab = createLab(signal);
    rows = await measure({
      lab,
      signal,
      ...wish,
      say: (text) => say(`${name}: ${text}`),
      note: (text) => run.notes.push(text),
      peers: (home) => peersIn(home, run),
      systemd: (home) => systemdIn(home, run),
    });
  } catch (thrown) {
    if (!run.stop.signal.aborted) run.faults.push(`${name} could not be measured: ${messageOf(thrown)}`);
  } finally {
    for (const machine of run.machines.splice(0)) await machine.stop();
  }
  return { name, rows, load: `${before} → ${loadText()}` };
}

async function peersIn(lab: Lab, run: Run): Promise<readonly Peer[]> {
  const peers: Peer[] = [];
  try {
    run.pm2 ??= installPm2(run.pm2Directory, run.stop.signal);
    peers.push(createPm2(await run.pm2, lab));
  } catch (thrown) {
    run.faults.push(`pm2 could not be measured: ${messageOf(thrown)}`);
  }
  try {
    peers.push(createSupervisord(firstLineOf("supervisord", "--version"), lab));
  } catch (thrown) {
    run.faults.push(`supervisord could not be measured: ${messageOf(thrown)}`);
  }
  return peers;
}

async function systemdIn(lab: Lab, run: Run): Promise<readonly Peer[]> {
  try {
    const version = firstLineOf("systemctl", "--version").split(" ").slice(0, 2).join(" ");
    const machine = await createSystemd(version, lab);
    run.machines.push(machine);
    return [machine];
  } catch (thrown) {
    run.faults.push(`systemd could not be measured: ${messageOf(thrown)}`);
    return [];
  }
}

function print(outcomes: readonly Outcome[], { notes, faults }: Run): void {
  const rows = outcomes.flatMap((outcome) => outcome.rows);
  console.log(machineLines(outcomes).join("\n"));
  console.log(`\n${renderTable(rows)}\n`);
  for (const note of notes) console.log(note);
  for (const fault of faults) console.log(fault);
}

function machineLines(outcomes: readonly Outcome[]): string[] {
  const model = cpus()[0]?.model ?? "unknown CPU";
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  const distribution = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
  const ffmpeg = firstLineOf("ffmpeg", "-version").split(" ").slice(0, 3).join(" ");
  return [
    `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC, ${cpus().length} × ${model}, ${memory}, Linux ${release()}, ` +
      `${distribution}, Node ${process.version}, ${ffmpeg}`,
    `Load average (1 min) before and after: ${outcomes.map(({ name, load }) => `${name} ${load}`).join(", ")}`,
  ];
}

/** Beside other work every figure is an upper bound. */
const QUIET_LOAD = 0.5;

function loadText(): string {
  return loadavg()[0]?.toFixed(1) ?? "?";
}

function firstLineOf(file: string, ...args: string[]): string {
  return execFileSync(file, args, { encoding: "utf8", timeout: 10_000 }).split("\n")[0]?.trim() ?? "";
}

function writeJson(path: string, outcomes: readonly Outcome[], { notes, faults }: Run): void {
  const document = {
    at: new Date().toISOString(),
    machine: machineLines(outcomes),
    measurements: outcomes.map(({ name, load, rows }) => ({
      name,
      load,
      rows: rows.map((row) => ({ ...row, ...summarize(row.samples), isMet: isMet(row) })),
    })),
    notes,
    faults,
  };
  writeFileSync(path, `${JSON.stringify(document, null, 2)}\n`);
}

process.exitCode = await main(process.argv.slice(2));
