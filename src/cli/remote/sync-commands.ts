import { closeSync, mkdirSync, openSync, realpathSync, statSync, truncateSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import { AppError, errnoOf } from "../../base/errors.ts";
import { formatWallTime, oneLine } from "../../base/log.ts";
import { holdName } from "../../base/name-guard.ts";
import { createProcessTable } from "../../base/process-table.ts";
import { sendSignal } from "../../base/send-signal.ts";
import { type SyncFile, syncDirectory } from "../../config/sync-file.ts";
import type { CommandContext } from "../command-context.ts";
import { formatAge } from "../duration.ts";
import { countOf, printJson, viewOf } from "../output.ts";
import { renderTable } from "../render-table.ts";
import { quoteRsh } from "./rsync-arguments.ts";
import { sealArguments } from "./seal-flags.ts";
import { createSyncBook, identityOf, type SyncBook, type SyncEntry } from "./sync-book.ts";
import { keepInSync } from "./sync-loop.ts";
import { pairHash, type SyncWish, sourceAndTarget } from "./sync-wish.ts";

/** Where settings of this program come from, for a child that gets no other environment. */
const HANDED_ON = [
  "SLUICE_HUB",
  "SLUICE_HUB_TOKEN",
  "SLUICE_HUB_CA",
  "SLUICE_CONTEXT",
  "XDG_CONFIG_HOME",
  "XDG_STATE_HOME",
] as const;
const START_MS = 10_000;
const STOP_MS = 15_000;
const LOOK_MS = 50;
const MAX_LOG_BYTES = 1024 * 1024;

export interface SyncPaceSeconds {
  readonly debounceSeconds: number;
  readonly rescanSeconds: number;
  readonly pollSeconds: number;
}

/** Starts the daemon of a pair of directories and resolves when it runs. Rejects with `conflict` while one runs for the same pair. */
export async function startSync(wish: SyncWish, pace: SyncPaceSeconds, context: CommandContext): Promise<SyncFile> {
  const { clock, remote, signal } = context;
  const local = realLocal(wish);
  const book = openBook(context);
  const known = await book.read(wish.name);
  if (known?.isRunning === true) {
    throw new AppError(
      "conflict",
      `${wish.name} runs already (process ${known.file.process?.pid}); sluice rsync --stop ${wish.name} ends it, --name gives another`,
    );
  }
  const other = (await book.list()).find(
    ({ file, isRunning }) => isRunning && pairHash(file.local, file.remote) === pairHash(local, wish.remote),
  );
  if (other !== undefined) {
    throw new AppError(
      "conflict",
      `these two directories are kept in sync already, by ${other.file.name}; sluice rsync --stop ${other.file.name} ends it`,
    );
  }
  const startedAt = new Date(clock.wallMs()).toISOString();
  await book.write({
    version: 1,
    ...wish,
    local,
    ...pace,
    state: "starting",
    reason: "its process starts",
    startedAt,
    runs: 0,
    failures: 0,
  });
  const [file = "", ...args] = [...remote.self, "rsync", "--keep", wish.name];
  const log = openSync(book.logPath(wish.name), "a", 0o600);
  try {
    const child = await remote.spawnDetached({
      file,
      args,
      env: handedOn(context),
      cwd: "/",
      stdoutFd: log,
      stderrFd: log,
    });
    let hasEnded = false;
    void child.exited.then(() => {
      hasEnded = true;
    });
    const untilMs = clock.monotonicMs() + START_MS;
    while (clock.monotonicMs() < untilMs && !hasEnded) {
      const entry = await book.read(wish.name);
      if (entry?.file.process?.pid === child.pid) return entry.file;
      await clock.delay(LOOK_MS, signal);
    }
  } finally {
    closeSync(log);
  }
  throw new AppError(
    "unavailable",
    `the process that keeps ${wish.name} in sync did not start; ${book.logPath(wish.name)} says more`,
  );
}

/** What the daemon itself does, until SIGTERM. */
export async function runSync(name: string, context: CommandContext): Promise<number> {
  const { clock, remote, signal, io } = context;
  const book = openBook(context);
  const entry = await book.read(name);
  if (entry === undefined) throw new AppError("not-found", `nothing is kept in sync as ${name}`);
  const { file } = entry;
  const guard = await holdName(`sluice-rsync-${pairHash(file.local, file.remote).slice(0, 32)}`);
  if (guard === undefined) throw new AppError("conflict", "these two directories are kept in sync by another process");
  const log = (line: string) => {
    const bytes = statSync(book.logPath(name), { throwIfNoEntry: false })?.size ?? 0;
    if (bytes > MAX_LOG_BYTES) truncateSync(book.logPath(name));
    io.write(`[${formatWallTime(clock.wallMs())}] ${stripVTControlCharacters(line)}\n`);
  };
  const mine: SyncFile = { ...file, process: identityOf(remote.pid, createProcessTable()) };
  await book.write(mine);
  const env: Record<string, string> = {
    ...handedOn(context),
    ...(file.context === undefined ? {} : { SLUICE_CONTEXT: file.context }),
  };
  const rsh = quoteRsh([...remote.self, "rsh", ...sealArguments({ isSealed: file.seal !== undefined, ...file.seal })]);
  try {
    await keepInSync(mine, { clock, runProgram: context.runProgram, write: book.write, rsh, env, log }, signal);
    return 0;
  } finally {
    await guard.release();
  }
}

export async function showSyncs(isJson: boolean, context: CommandContext): Promise<number> {
  const { io } = context;
  const entries = await openBook(context).list();
  if (isJson) printJson(io, { items: entries.map(({ file, isRunning }) => ({ ...file, running: isRunning })) });
  else if (entries.length === 0) io.write("no directory is kept in sync\n");
  else io.write(renderSyncs(entries, context));
  return 0;
}

/** Ends the daemon and forgets what is kept of it; the directories stay as they are. */
export async function stopSync(name: string, isJson: boolean, context: CommandContext): Promise<number> {
  const { io, clock, signal } = context;
  const book = openBook(context);
  const entry = await book.read(name);
  if (entry === undefined)
    throw new AppError(
      "not-found",
      `nothing is kept in sync as ${JSON.stringify(name)}; sluice rsync --status shows all`,
    );
  const pid = entry.file.process?.pid;
  if (entry.isRunning && pid !== undefined) {
    sendSignal(pid, "SIGTERM");
    const untilMs = clock.monotonicMs() + STOP_MS;
    while ((await book.read(name))?.isRunning === true) {
      if (clock.monotonicMs() > untilMs)
        throw new AppError("timeout", `process ${pid} of ${name} has not ended within ${STOP_MS / 1000} s`);
      await clock.delay(LOOK_MS, signal);
    }
  }
  await book.forget(name);
  if (isJson) printJson(io, { name, stopped: entry.isRunning });
  else io.write(entry.isRunning ? `${name} is stopped\n` : `${name} did not run any more, and is forgotten\n`);
  return 0;
}

function openBook(context: CommandContext): SyncBook {
  const directory = syncDirectory(context.env, context.facts);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return createSyncBook(directory, { table: createProcessTable(), writePrivateFile: context.writePrivateFile });
}

/** With links resolved, so that one directory has one name. Throws `invalid` where it is none. */
function realLocal({ direction, local }: SyncWish): string {
  try {
    if (direction === "DOWN") mkdirSync(local, { recursive: true });
    const real = realpathSync(local);
    if (!statSync(real).isDirectory()) throw new AppError("invalid", `${local} is no directory`);
    return local.endsWith("/") ? `${real}/` : real;
  } catch (thrown) {
    if (thrown instanceof AppError) throw thrown;
    throw new AppError("invalid", `${local} is no directory that can be used (${errnoOf(thrown)})`, { cause: thrown });
  }
}

function handedOn({ env }: CommandContext): Record<string, string> {
  return Object.fromEntries(HANDED_ON.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}

function renderSyncs(entries: readonly SyncEntry[], context: CommandContext): string {
  const view = viewOf(context);
  const stateOf = ({ file, isRunning }: SyncEntry) => (isRunning ? file.state : "dead");
  const table = renderTable(
    entries,
    [
      { head: "NAME", text: ({ file }) => file.name, rank: 9, least: 8 },
      {
        head: "STATE",
        text: stateOf,
        tone: (entry) => (stateOf(entry) === "idle" || stateOf(entry) === "syncing" ? "good" : "bad"),
        rank: 9,
      },
      {
        head: "LAST SYNC",
        text: ({ file }) => file.lastSyncAt && `${formatAge(file.lastSyncAt, view.nowMs)} ago`,
        align: "right",
        rank: 8,
      },
      { head: "RUNS", text: ({ file }) => file.runs, align: "right", rank: 3 },
      { head: "FROM", text: ({ file }) => sourceAndTarget(file)[0], rank: 7, least: 12 },
      { head: "TO", text: ({ file }) => sourceAndTarget(file)[1], rank: 7, least: 12 },
      {
        head: "REASON",
        text: ({ file, isRunning }) =>
          isRunning ? oneLine(file.reason) : "its process is gone; start it again, or --stop it",
        rank: 5,
        least: 16,
      },
    ],
    view,
  );
  return `${table}${countOf(entries.length, "directory", "directories")}\n`;
}
