import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Clock } from "../../../base/clock.ts";
import { createTokenBucket } from "../../../base/token-bucket.ts";
import type { WorkloadFiles } from "../process/process-runtime.ts";
import { rawCursorPath, rawStdoutPath } from "../process/workload-files.ts";
import { createEngineFollower } from "./follow-engine.ts";
import { createFilesFollower } from "./follow-files.ts";
import type { FollowedOutput } from "./followed-output.ts";
import type { LogLedger } from "./log-ledger.ts";
import type { OutputJournal, OutputOwner } from "./output-owner.ts";
import { createSessionLog } from "./session-log.ts";
import { createSessionWriter } from "./session-writer.ts";

/** Carries what sessions write to their logs: line by line, each output by itself, nothing lost that is not counted. */
export interface SessionOutputs {
  attach(name: string, files: WorkloadFiles, of: OutputOwner): void;
  has(name: string): boolean;
  /** The session has ended; what it left is taken over meanwhile. */
  detach(name: string): void;
  tail(name: string): readonly string[];
  /** Takes over what has come, and waits for nobody. */
  lap(): void;
  /** Resolves when all is let go of, for a successor to go on with. */
  close(): Promise<void>;
  /** Logs that are written to. */
  paths(): readonly string[];
  lostBytes(): number;
  failure(): string | undefined;
}

export interface SessionOutputsOptions {
  readonly maxLineBytes: number;
  readonly tailLines: number;
  readonly maxFileBytes: () => number;
  readonly keepFiles: number;
  readonly burstBytes: number;
  readonly bytesPerSecond: number;
}

export interface SessionOutputsDeps {
  readonly clock: Clock;
  readonly redact: (text: string) => string;
  readonly journal: OutputJournal | undefined;
  readonly freeStart: (path: string, bytes: number) => Promise<boolean>;
  readonly onRotate: () => void;
  /** Where readers of the logs in this process learn what rotation has removed. */
  readonly ledger: LogLedger;
}

/** A log that holds a line of 10 MB whole, and is still small beside what a session may write in a day. */
export const SESSION_LOG_OPTIONS = {
  maxFileBytes: 4 * 1_048_576,
  keepFiles: 4,
  burstBytes: 16 * 1_048_576,
  bytesPerSecond: 1_048_576,
} as const;

const READ_BUFFER_BYTES = 65_536;

interface Attached {
  readonly workloadId: string;
  readonly followed: FollowedOutput;
  busy: Promise<void> | undefined;
}

export function createSessionOutputs(options: SessionOutputsOptions, deps: SessionOutputsDeps): SessionOutputs {
  const attached = new Map<string, Attached>();
  /** What ended is still being taken over: whoever comes next under this name begins after that. */
  const ending = new Map<string, Promise<void>>();
  const buffer = Buffer.allocUnsafe(READ_BUFFER_BYTES);
  let lostBytes = 0;

  const open = (files: WorkloadFiles, { workloadId, output }: OutputOwner): FollowedOutput => {
    const { logPath } = files;
    const { tailLines, maxLineBytes, maxFileBytes, keepFiles } = options;
    const log = createSessionLog({ path: logPath, maxFileBytes, keepFiles, onRotate: deps.onRotate }, deps.ledger);
    const cursorPath = output === undefined ? rawCursorPath(files) : join(files.directory, "output.json");
    const source = output?.instance ?? "files";
    const writer = createSessionWriter({ workloadId, source, cursorPath, maxLineBytes, tailLines }, { ...deps, log });
    const allowance = createTokenBucket({ burst: options.burstBytes, perSecond: options.bytesPerSecond });
    if (output !== undefined) return createEngineFollower(logPath, output, { ...deps, writer, allowance });
    const paths = { stdout: rawStdoutPath(files), stderr: files.rawOutputPath };
    return createFilesFollower({ logPath, paths, tailLines }, { ...deps, writer, allowance, buffer });
  };

  const work = (one: Attached, next: () => Promise<void>) => {
    const running = (one.busy ?? Promise.resolve()).then(next).finally(() => {
      if (one.busy === running) one.busy = undefined;
    });
    one.busy = running;
    return running;
  };

  const detach = (name: string) => {
    const one = attached.get(name);
    if (one === undefined) return;
    attached.delete(name);
    const done = work(one, one.followed.finish).finally(() => {
      lostBytes += one.followed.lostBytes();
      if (ending.get(name) === done) ending.delete(name);
      deps.journal?.release(one.workloadId);
    });
    ending.set(name, done);
  };

  return {
    has: (name) => attached.has(name),
    detach,
    attach: (name, files, of) => {
      detach(name);
      for (const path of [dirname(files.logPath), files.directory]) tryMakeDirectory(path);
      const before = ending.get(name);
      const followed = before === undefined ? open(files, of) : after(before, () => open(files, of), files.logPath);
      attached.set(name, { workloadId: of.workloadId, followed, busy: undefined });
    },
    tail: (name) => attached.get(name)?.followed.tail() ?? [],
    lap: () => {
      for (const one of attached.values()) if (one.busy === undefined) void work(one, one.followed.lap);
    },
    close: async () => {
      const open_ = [...attached.values()];
      attached.clear();
      await Promise.all([...ending.values(), ...open_.map((one) => work(one, one.followed.lap))]);
      await Promise.all(open_.map((one) => work(one, one.followed.close)));
    },
    paths: () => [...attached.values()].map(({ followed }) => followed.logPath),
    lostBytes: () => [...attached.values()].reduce((sum, { followed }) => sum + followed.lostBytes(), lostBytes),
    failure: () => [...attached.values()].map(({ followed }) => followed.failure()).find((one) => one !== undefined),
  };
}

/** What is opened once something else has ended. */
function after(before: Promise<void>, open: () => FollowedOutput, logPath: string): FollowedOutput {
  let opened: FollowedOutput | undefined;
  const ready = before.then(() => {
    opened = open();
    return opened;
  });
  return {
    logPath,
    lap: async () => (await ready).lap(),
    finish: async () => (await ready).finish(),
    close: async () => (await ready).close(),
    tail: () => opened?.tail() ?? [],
    lostBytes: () => opened?.lostBytes() ?? 0,
    failure: () => opened?.failure(),
  };
}

function tryMakeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch {
    // The first write will say what is wrong with the disk.
  }
}
