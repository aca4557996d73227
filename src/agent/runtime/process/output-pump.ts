import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../../../base/clock.ts";
import { messageOf } from "../../../base/errors.ts";
import { createLapRunner } from "../../../base/lap-runner.ts";
import { formatWallTime, type Log, oneLine } from "../../../base/log.ts";
import type { LoopProgress } from "../../../base/progress-watch.ts";
import { createRotatingFile, type RotatingFile } from "../../../base/rotating-file.ts";
import type { Service } from "../../../base/service.ts";
import type { LogLedger } from "../output/log-ledger.ts";
import type { OutputJournal, OutputOwner } from "../output/output-owner.ts";
import { createSessionOutputs, SESSION_LOG_OPTIONS } from "../output/session-outputs.ts";
import { createFloodGate, type FloodGate } from "./flood-gate.ts";
import { createLineSplitter, type LineSplitter, type SplitLine } from "./line-splitter.ts";
import { enforceLogBudget, fileShareBytes } from "./log-budget.ts";
import type { WorkloadFiles } from "./process-runtime.ts";
import { createRawOutput, type RawOutput } from "./raw-output.ts";
import { writesText } from "./workload-files.ts";

/**
 * Carries each workload's own output from its raw file to its log: lines, bounded, secrets taken out, floods thinned.
 * Nothing here can stop or slow a workload: it writes to a file, whether or not anybody reads.
 */
export interface OutputPump extends Service {
  /**
   * Follows a process's output from now on; what stands unread in the raw file belongs to it. `name` is how it is called
   * here below; two of one workload share its log and its place in the journal.
   */
  attach(name: string, files: WorkloadFiles, of?: OutputOwner): void;
  /** Reads what is left and follows no more. */
  detach(name: string): void;
  /** Reads what is there to its end, now. */
  flush(name: string): void;
  /** The last lines since it was attached, secrets taken out, oldest first. */
  tail(name: string): readonly string[];
  stats(): OutputPumpStats;
}

export interface OutputPumpStats {
  readonly suppressedLines: number;
  readonly cutLines: number;
  /** Too much at once: bytes that nobody read. */
  readonly skippedBytes: number;
  /** Why logs cannot be written at the moment. */
  readonly failure: string | undefined;
}

export interface OutputPumpOptions {
  readonly logDirectory: string;
  /** Whose files the budget leaves alone. */
  readonly agentLogName: string;
  readonly intervalMs: number;
  readonly maxLineBytes: number;
  readonly tailLines: number;
  /** For each workload's log; less where many of them share the total. */
  readonly maxFileBytes: number;
  readonly keepFiles: number;
  /** For all workload logs together. */
  readonly totalBytes: number;
  readonly burstLines: number;
  readonly linesPerSecond: number;
}

export const DEFAULT_PUMP_OPTIONS = {
  intervalMs: 1000,
  maxLineBytes: 8192,
  tailLines: 40,
  maxFileBytes: 1_048_576,
  keepFiles: 3,
  totalBytes: 128 * 1_048_576,
  burstLines: 400,
  linesPerSecond: 40,
} as const satisfies Partial<OutputPumpOptions>;

export interface OutputPumpDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly redact: (text: string) => string;
  readonly progress?: LoopProgress | undefined;
  /** Where lines go beside the workload's log; they have passed the redactor. */
  readonly journal?: OutputJournal | undefined;
  /** Where readers of sessions' logs in this process learn what rotation has removed. */
  readonly ledger: LogLedger;
  /** Gives the first `bytes` of a file back to the file system. False, or absent: that cannot be done here. */
  readonly freeStart?: ((path: string, bytes: number) => Promise<boolean>) | undefined;
}

/** A secret that a cut runs through is no longer recognised: what could be a piece of one is thrown away. */
const LONGEST_SECRET_BYTES = 1024;
const READ_BUFFER_BYTES = 65_536;
const MAX_BYTES_A_READING = 1_048_576;
const MAX_QUEUED_BYTES = 524_288;
/** Who has said nothing for so many readings is read in every third lap only: most streams never say a word. */
const SILENT_READINGS = 10;
const LAPS_OF_SILENT = 3;
/** A disk that hangs must not hold up the end of the agent. */
const LAST_WRITE_LIMIT_MS = 2000;

interface Followed {
  readonly workloadId: string;
  readonly raw: RawOutput;
  readonly lines: LineSplitter;
  readonly gate: FloodGate;
  readonly file: RotatingFile;
  readonly logPath: string;
  tail: string[];
  /** Readings in a row that brought nothing. */
  silentReadings: number;
}

export function createOutputPump(options: OutputPumpOptions, deps: OutputPumpDeps): OutputPump {
  const followed = new Map<string, Followed>();
  /** By path, so that a workload that comes back never has two writers. */
  const files = new Map<string, RotatingFile>();
  const buffer = Buffer.allocUnsafe(READ_BUFFER_BYTES);
  const stats = { suppressedLines: 0, cutLines: 0, skippedBytes: 0 };
  let saidFailure: string | undefined;

  const budget = createLapRunner(async () => {
    const active = new Set([...[...followed.values()].map(({ logPath }) => logPath), ...sessions.paths()]);
    const removed = await enforceLogBudget(
      { directory: options.logDirectory, totalBytes: options.totalBytes, agentLogName: options.agentLogName },
      (path) => !active.has(path),
    );
    if (removed.length > 0) deps.log.info(`Removed ${removed.length} old workload logs: they were over their budget`);
  });
  const enforceBudget = () => {
    void budget.wake().catch((thrown: unknown) => {
      deps.log.warn(`Could not keep workload logs within their budget: ${messageOf(thrown)}`);
    });
  };

  const shareOf = (maxFileBytes: number) =>
    fileShareBytes(maxFileBytes, options.totalBytes, followed.size + sessions.paths().length);
  const sessions = createSessionOutputs(
    {
      ...SESSION_LOG_OPTIONS,
      maxLineBytes: options.maxLineBytes,
      tailLines: options.tailLines,
      maxFileBytes: () => shareOf(SESSION_LOG_OPTIONS.maxFileBytes),
    },
    {
      clock: deps.clock,
      redact: deps.redact,
      journal: deps.journal,
      freeStart: deps.freeStart ?? (async () => false),
      onRotate: enforceBudget,
      ledger: deps.ledger,
    },
  );

  const stamp = (line: string) => `[${formatWallTime(deps.clock.wallMs())}] ${line}\n`;

  const fileFor = (path: string): RotatingFile => {
    const known = files.get(path);
    if (known !== undefined) return known;
    const file = createRotatingFile({
      path,
      get maxFileBytes() {
        return shareOf(options.maxFileBytes);
      },
      keepFiles: options.keepFiles,
      maxQueuedBytes: MAX_QUEUED_BYTES,
      lostLine: (lines) => stamp(`… ${lines} lines lost: the disk did not take them`),
      onRotate: enforceBudget,
    });
    files.set(path, file);
    return file;
  };

  const toText = ({ text, isCut }: SplitLine): string => {
    const redacted = oneLine(deps.redact(text));
    if (!isCut) return redacted;
    stats.cutLines += 1;
    return `${redacted.slice(0, Math.max(0, redacted.length - LONGEST_SECRET_BYTES))}… (cut)`;
  };

  const carry = (one: Followed, lines: readonly SplitLine[]) => {
    if (lines.length === 0) return;
    const { admitted, suppressedBefore } = one.gate.admit(lines.length, deps.clock.monotonicMs());
    const written = lines.slice(0, admitted).map(toText);
    // Of those that are thrown away only the last are worth their redaction: they may say why the workload ends.
    const unwritten = lines.slice(Math.max(admitted, lines.length - options.tailLines)).map(toText);
    one.tail = [...one.tail, ...written.slice(-options.tailLines), ...unwritten].slice(-options.tailLines);
    stats.suppressedLines += lines.length - admitted;
    tell(one, [...suppressedText(suppressedBefore), ...written]);
  };

  const tell = (one: Followed, lines: readonly string[]) => {
    if (lines.length === 0) return;
    one.file.append(lines.map(stamp).join(""));
    deps.journal?.write(one.workloadId, lines);
  };

  const pump = (one: Followed) => {
    one.silentReadings++;
    try {
      one.raw.read({
        take: (bytes) => {
          one.silentReadings = 0;
          carry(one, one.lines.push(bytes));
        },
        skip: (count) => {
          one.lines.skip();
          stats.skippedBytes += count;
          tell(one, [`… skipped ${count} bytes: more came than can be read`]);
        },
      });
    } catch (thrown) {
      deps.log.debug(`Could not read the output for ${one.logPath}: ${messageOf(thrown)}`);
    }
  };

  const finish = (one: Followed) => {
    pump(one);
    const rest = one.lines.rest();
    if (rest !== undefined) carry(one, [rest]);
    tell(one, suppressedText(one.gate.takeSuppressed()));
  };

  const failure = () =>
    [...files.values()].map((file) => file.failure()).find((reason) => reason !== undefined) ?? sessions.failure();
  const sayFailure = () => {
    const reason = failure();
    if (reason !== undefined && saidFailure === undefined) {
      deps.log.warn(`Workload logs cannot be written (${reason}): streams go on, their output is not kept`);
    } else if (reason === undefined && saidFailure !== undefined) {
      deps.log.info("Workload logs can be written again");
    }
    saidFailure = reason;
  };

  const detach = (name: string) => {
    const one = followed.get(name);
    if (one === undefined) return sessions.detach(name);
    finish(one);
    one.raw.close();
    followed.delete(name);
    deps.journal?.release(one.workloadId);
    void one.file.idle().then(() => {
      const isInUse = [...followed.values()].some(({ logPath }) => logPath === one.logPath);
      if (!isInUse && files.get(one.logPath) === one.file) files.delete(one.logPath);
    });
  };

  return {
    name: "output pump",
    attach: (name, workloadFiles, of = { workloadId: name, kind: "stream" }) => {
      if (of.output !== undefined || writesText(of.kind)) return sessions.attach(name, workloadFiles, of);
      detach(name);
      const { rawOutputPath, logPath } = workloadFiles;
      const { workloadId } = of;
      tryMakeDirectory(dirname(logPath));
      followed.set(name, {
        workloadId,
        raw: createRawOutput({ path: rawOutputPath, maxBytes: MAX_BYTES_A_READING }, buffer),
        lines: createLineSplitter({ maxBytes: options.maxLineBytes + LONGEST_SECRET_BYTES }),
        gate: createFloodGate({ burst: options.burstLines, perSecond: options.linesPerSecond }),
        file: fileFor(logPath),
        logPath,
        tail: [],
        silentReadings: 0,
      });
    },
    detach,
    flush: (name) => {
      const one = followed.get(name);
      if (one !== undefined) finish(one);
    },
    tail: (name) => followed.get(name)?.tail ?? sessions.tail(name),
    stats: () => ({ ...stats, skippedBytes: stats.skippedBytes + sessions.lostBytes(), failure: failure() }),
    run: async (signal) => {
      enforceBudget();
      let lap = 0;
      while (!signal.aborted) {
        deps.progress?.advance(options.intervalMs);
        await deps.clock.delay(options.intervalMs, signal).catch(() => undefined);
        lap++;
        for (const one of followed.values()) {
          if (one.silentReadings < SILENT_READINGS || lap % LAPS_OF_SILENT === 0) pump(one);
          else one.silentReadings++;
        }
        sessions.lap();
        sayFailure();
      }
      const writers = [...files.values()];
      for (const name of [...followed.keys()]) detach(name);
      const written = Promise.all([...writers.map((file) => file.idle()), sessions.close()]).then(() => budget.wake());
      const late = new AbortController();
      await Promise.race([
        written.catch(() => undefined),
        deps.clock.delay(LAST_WRITE_LIMIT_MS, late.signal).catch(() => undefined),
      ]);
      late.abort();
    },
  };
}

function suppressedText(count: number): string[] {
  return count === 0 ? [] : [`… suppressed ${count} lines`];
}

function tryMakeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch {
    // The first write will say what is wrong with the disk.
  }
}
