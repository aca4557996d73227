import { replaceFile } from "./atomic-file.ts";
import { type BackoffOptions, backoffCeilingMs } from "./backoff.ts";
import type { Clock, Timer } from "./clock.ts";
import { type DocumentFormat, formatDocument } from "./document.ts";
import { errnoOf, messageOf } from "./errors.ts";
import type { Log } from "./log.ts";

export interface DocumentStatus {
  /** False: the truth is in memory only, and a kill now would lose what changed since the last good write. */
  readonly durable: boolean;
  readonly reason?: string;
}

/**
 * Keeps one document on disk equal to what is in memory, one write at a time; what changes during a write goes into the
 * next. A disk that is full, read-only, broken or hung turns it to memory mode: it says so, tries again now and then, and
 * recovers by itself. Nothing is written when nothing changed.
 */
export interface DocumentWriter {
  /** The data has changed. The write begins after the caller's turn, so that many changes make one write. */
  changed(): void;
  /** Resolves when all changes so far are durable, or when the writer is in memory mode. Never rejects. */
  commit(): Promise<void>;
  status(): DocumentStatus;
}

export interface DocumentWriterOptions extends DocumentFormat {
  readonly path: string;
  /** What is there now is worth keeping as the previous generation. */
  readonly isCurrentGood: boolean;
  /** The data that is there now, as `JSON.stringify` gives it, where all of it is in use: it need not be written again. */
  readonly currentText?: string | undefined;
}

export interface DocumentWriterDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the attempts to recover, not a write that has begun. */
  readonly signal: AbortSignal;
  /** What is to be on disk. Called once for each write. */
  readonly snapshot: () => unknown;
  /** `replaceFile`, unless a test breaks the disk. */
  readonly replace?: typeof replaceFile;
}

const HUNG_MS = 2000;
const RETRY: BackoffOptions = { baseMs: 5000, maxMs: 300_000 };

export function createDocumentWriter(options: DocumentWriterOptions, deps: DocumentWriterDeps): DocumentWriter {
  const { path, format, version, minReader } = options;
  const name = path.slice(path.lastIndexOf("/") + 1);
  const replace = deps.replace ?? replaceFile;
  let { isCurrentGood } = options;
  let writtenText = options.currentText;
  let changes = 0;
  let durableChanges = 0;
  let isScheduled = false;
  let isWriting = false;
  let reason: string | undefined;
  let failures = 0;
  let retry: Timer | undefined;
  let waiters: { readonly change: number; readonly resolve: () => void }[] = [];

  const settle = () => {
    const isReady = (change: number) => reason !== undefined || change <= durableChanges;
    const ready = waiters.filter(({ change }) => isReady(change));
    waiters = waiters.filter(({ change }) => !isReady(change));
    for (const { resolve } of ready) resolve();
  };

  const failed = (why: string) => {
    if (reason === undefined) deps.log.error(`${name} cannot be written (${why}): going on from memory`);
    reason = why;
    settle();
  };

  const recovered = () => {
    if (reason !== undefined) deps.log.info(`${name} is written again`);
    reason = undefined;
    failures = 0;
  };

  const scheduleRetry = () => {
    retry?.clear();
    if (deps.signal.aborted) return;
    retry = deps.clock.timer(backoffCeilingMs(failures, RETRY), () => {
      retry = undefined;
      schedule();
    });
    failures += 1;
  };
  deps.signal.addEventListener("abort", () => retry?.clear(), { once: true });

  const writeOnce = async (): Promise<boolean> => {
    const change = changes;
    let hung: Timer | undefined;
    try {
      const dataText = JSON.stringify(deps.snapshot());
      if (dataText !== writtenText) {
        hung = deps.clock.timer(HUNG_MS, () => failed(`the disk has not answered for ${HUNG_MS / 1000} s`));
        const savedAt = new Date(deps.clock.wallMs()).toISOString();
        const text = formatDocument({ format, version, minReader }, dataText, savedAt);
        await replace(path, text, isCurrentGood);
        isCurrentGood = true;
        writtenText = dataText;
      }
    } catch (thrown) {
      failed(errnoOf(thrown) ?? messageOf(thrown));
      return false;
    } finally {
      hung?.clear();
    }
    durableChanges = change;
    recovered();
    settle();
    return true;
  };

  const write = async (): Promise<void> => {
    isWriting = true;
    let isGood = true;
    while (isGood && durableChanges < changes) isGood = await writeOnce();
    isWriting = false;
    if (!isGood) scheduleRetry();
  };

  const schedule = () => {
    if (isScheduled || isWriting) return;
    isScheduled = true;
    queueMicrotask(() => {
      isScheduled = false;
      void write();
    });
  };

  return {
    changed: () => {
      changes += 1;
      // In memory mode only the timer tries: a full disk must not be asked at every change.
      if (retry === undefined) schedule();
    },
    commit: () =>
      new Promise((resolve) => {
        waiters.push({ change: changes, resolve });
        settle();
      }),
    status: () => (reason === undefined ? { durable: true } : { durable: false, reason }),
  };
}
