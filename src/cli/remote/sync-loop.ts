import { watch } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { RunProgram } from "../../base/spawn.ts";
import type { SyncFile } from "../../config/sync-file.ts";
import { nextRunMs, type SyncMoment } from "./sync-schedule.ts";
import { sourceAndTarget } from "./sync-wish.ts";

export interface SyncLoopDeps {
  readonly clock: Clock;
  readonly runProgram: RunProgram;
  readonly write: (file: SyncFile) => Promise<void>;
  /** `-e` of rsync. */
  readonly rsh: string;
  /** For rsync and what it calls. */
  readonly env: Readonly<Record<string, string>>;
  readonly log: (line: string) => void;
}

/** A run that lasts longer is not stuck, but it is ended: its next begins where it was, and sees the changes since. */
const RUN_LIMIT_MS = 24 * 3_600_000;
const MAX_OUTPUT_BYTES = 64 * 1024;
/** Some files vanished while rsync looked: the next run sees the rest. */
const VANISHED = 24;

/** Keeps the two directories the same until the signal aborts. Never rejects for a run that failed. */
export async function keepInSync(first: SyncFile, deps: SyncLoopDeps, signal: AbortSignal): Promise<void> {
  const { clock, write, log } = deps;
  let file = first;
  let moment: SyncMoment = { lastRunMs: undefined, firstChangeMs: undefined, lastChangeMs: undefined, failures: 0 };
  let wake: () => void = () => undefined;
  const isUp = file.direction === "UP";
  const pace = {
    debounceMs: file.debounceSeconds * 1000,
    everyMs: (isUp ? file.rescanSeconds : file.pollSeconds) * 1000,
  };
  const stopWatch = isUp
    ? watchDirectory(
        file.local,
        () => {
          const nowMs = clock.monotonicMs();
          moment = { ...moment, firstChangeMs: moment.firstChangeMs ?? nowMs, lastChangeMs: nowMs };
          wake();
        },
        log,
      )
    : () => undefined;
  const save = async (change: Partial<SyncFile>) => {
    file = { ...file, ...change };
    await write(file).catch((thrown: unknown) => log(`its state cannot be written: ${messageOf(thrown)}`));
  };
  try {
    while (!signal.aborted) {
      const waitMs = nextRunMs(moment, pace) - clock.monotonicMs();
      if (waitMs > 0) {
        // A change may bring the next run nearer.
        const pause = new AbortController();
        wake = () => pause.abort();
        await clock.delay(waitMs, AbortSignal.any([signal, pause.signal])).catch(() => undefined);
        continue;
      }
      // What changes from here on is seen by the next run, even where this one sees it too.
      moment = { ...moment, firstChangeMs: undefined, lastChangeMs: undefined };
      await save({ state: "syncing", reason: "rsync runs" });
      const problem = await runOnce(file, deps, signal);
      if (signal.aborted) break;
      moment = { ...moment, lastRunMs: clock.monotonicMs(), failures: problem === undefined ? 0 : moment.failures + 1 };
      if (problem === undefined) {
        const lastSyncAt = new Date(clock.wallMs()).toISOString();
        await save({ state: "idle", reason: "in sync", lastSyncAt, runs: file.runs + 1, failures: 0 });
      } else {
        log(problem);
        await save({ state: "failing", reason: problem, runs: file.runs + 1, failures: moment.failures });
      }
    }
  } finally {
    stopWatch();
  }
}

/** What went wrong, in one line. */
async function runOnce(
  file: SyncFile,
  { runProgram, rsh, env }: SyncLoopDeps,
  signal: AbortSignal,
): Promise<string | undefined> {
  const args = ["-e", rsh, ...file.options, ...sourceAndTarget(file)];
  try {
    const limits = { timeoutMs: RUN_LIMIT_MS, maxOutputBytes: MAX_OUTPUT_BYTES };
    const { code, signal: name, stderr } = await runProgram("rsync", args, { ...limits, env, signal });
    if (code === 0 || code === VANISHED) return undefined;
    const lines = stderr.trim().split("\n");
    const how = code === null ? `was ended by ${name}` : `ended with ${code}`;
    // The first line says what happened, rsync's own last one only that something did.
    return `rsync ${how}: ${lines[0] === "" ? "it said nothing" : lines[0]}`;
  } catch (thrown) {
    return messageOf(thrown);
  }
}

/** Without a watch the look at everything, every now and then, still finds all. */
function watchDirectory(path: string, onChange: () => void, log: (line: string) => void): () => void {
  const blind = (thrown: unknown) =>
    log(`${path} cannot be watched (${messageOf(thrown)}): changes are found by looking, more slowly`);
  try {
    const watcher = watch(path, { recursive: true, persistent: false }, onChange);
    watcher.on("error", blind);
    return () => watcher.close();
  } catch (thrown) {
    blind(thrown);
    return () => undefined;
  }
}
