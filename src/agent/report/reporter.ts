import pRetry from "p-retry";
import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { HttpFetch } from "../../base/http-fetch.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { type Service, untilAborted } from "../../base/service.ts";
import { createWake } from "../../base/wake.ts";
import type { AgentStatus } from "../../contract/local-status.ts";
import type { Occurrence, Report } from "../../contract/report.ts";
import { deltaOf, type ReportDelta } from "../../contract/report-delta.ts";
import { LONG_WAIT_STATUSES } from "../link/attempt-end.ts";
import { authorizationFor, parseAddress } from "../link/credentials.ts";
import { atLeastAsked, backoffDelayMs, longWaitMs } from "../link/retry-delay.ts";
import { createDurableQueue } from "./durable-queue.ts";
import { fitReport, MAX_REPORT_BYTES, MIN_REPORT_BYTES } from "./fit-report.ts";
import { postReport } from "./post-report.ts";
import type { QueueFile } from "./queue-file.ts";
import type { QueueEntry } from "./report-queue.ts";

export type CommandResult = Report["commandResults"][number];

/** What a report says of the box at the moment; the rest of it is the reporter's own. */
export type ReportPicture = Omit<
  Report,
  "version" | "sequence" | "session" | "sentAt" | "occurrences" | "dropped" | "commandResults"
>;

export interface ReporterOptions {
  /** Absent: reports are off, and nothing is queued. */
  readonly endpoint: string | undefined;
  readonly intervalMs: number;
}

export interface ReporterDeps {
  readonly fetch: HttpFetch;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Read for each report. */
  readonly token: () => Promise<string | undefined>;
  readonly snapshot: () => ReportPicture;
  /** To begin with; new for each agent process. */
  readonly session: string;
  readonly queueFile: QueueFile;
  /** These answers to commands have arrived. */
  readonly onAnswersDelivered?: (ids: readonly string[]) => void;
}

export interface Reporter extends Service {
  /** Something that a report tells is different now. Cheap: many calls make one report. */
  changed(): void;
  /** Kept until a report with it got through, across restarts. */
  occurred(occurrence: Occurrence): void;
  commandResult(result: CommandResult): void;
  /** Goes on as another agent process would: a hub that had taken another machine for this box listens again. */
  renewSession(session: string): void;
  status(): AgentStatus["report"];
}

export const QUEUE_BOUNDS = { maxEntries: 1000, maxBytes: 1024 * 1024 } as const;
/** Changes within this time are one report: a few times at once, because somebody may wait for it, then less often. */
const COALESCE_MS = { prompt: 20, usual: 250 } as const;
const PROMPT_REPORTS = 8;
const PROMPT_REFILL_MS = 500;
const TIMEOUT_MS = 10_000;
const RETRY_BASE_MS = 1000;
const MAX_ENTRIES_A_REPORT = 200;
/** Statuses that blame the body: the same one will be refused again. */
const BODY_REFUSED: readonly number[] = [400, 413, 422];

/** Tells the hub what the box is and does. Throws `config` for an endpoint that is no http or https URL. */
export function createReporter(options: ReporterOptions, deps: ReporterDeps): Reporter {
  const { clock, log, random } = deps;
  const address = options.endpoint === undefined ? undefined : parseAddress(options.endpoint, "report.endpoint");
  const wake = createWake({ clock });
  const queue = createDurableQueue(QUEUE_BOUNDS, deps.queueFile, log);
  let { session } = deps;
  let sequence = 0;
  let hasChanged = true;
  let reason: string | undefined;
  let failures = 0;
  let refusals = 0;
  let entriesAReport = MAX_ENTRIES_A_REPORT;
  let promptLeft = PROMPT_REPORTS;
  let promptSinceMs = clock.monotonicMs();
  /** A hub, or something on the way to it, may take less: it is asked no more than once for each size. */
  let maxBytes = MAX_REPORT_BYTES;
  /** The last report that the hub has acknowledged as its latest. */
  let base: Report | undefined;

  const changed = () => {
    hasChanged = true;
    wake.ring();
  };

  const keep = (entry: QueueEntry) => {
    if (address === undefined) return;
    queue.push(entry);
    changed();
  };

  /** Until something changed, at most `intervalMs`; then a moment more for what changes with it. */
  const untilDue = async (signal: AbortSignal) => {
    if (!hasChanged) await wake.wait(options.intervalMs, signal);
    signal.throwIfAborted();
    if (hasChanged) await clock.delay(coalesceMs(), signal);
  };

  const coalesceMs = (): number => {
    const refills = Math.floor((clock.monotonicMs() - promptSinceMs) / PROMPT_REFILL_MS);
    promptLeft = Math.min(PROMPT_REPORTS, promptLeft + refills);
    promptSinceMs += refills * PROMPT_REFILL_MS;
    if (promptLeft === 0) return COALESCE_MS.usual;
    promptLeft--;
    return COALESCE_MS.prompt;
  };

  /** A body that is refused with many entries is tried with half of them; one entry that is refused alone is given up. */
  const onBodyRefused = (entries: readonly QueueEntry[]) => {
    entriesAReport = Math.max(1, Math.floor(entries.length / 2));
    const [only] = entries;
    if (only === undefined || entries.length > 1) return;
    queue.giveUp(only);
    log.warn("An entry that the hub refuses was given up");
  };

  const onFailure = (message: string, retryAfterMs: number | undefined, status: number | undefined): AppError => {
    const isRefusal = status !== undefined && LONG_WAIT_STATUSES.has(status);
    failures++;
    refusals = isRefusal ? refusals + 1 : 0;
    if (reason === undefined) log.warn(`Reports do not get through: ${message}. Attempts go on`);
    reason = message;
    const longMs = retryAfterMs === undefined ? longWaitMs(refusals, random) : 0;
    const ownMs = isRefusal ? longMs : backoffDelayMs(failures, RETRY_BASE_MS, random);
    return new AppError("unavailable", message, { retryAfterMs: atLeastAsked(ownMs, retryAfterMs, random) });
  };

  const onDelivered = (entries: readonly QueueEntry[], dropped: number) => {
    queue.delivered(entries, dropped);
    const answered = entries.flatMap((entry) => (entry.kind === "command-result" ? [entry.value.id] : []));
    if (answered.length > 0) deps.onAnswersDelivered?.(answered);
    entriesAReport = MAX_ENTRIES_A_REPORT;
    if (reason !== undefined) log.info("Reports get through again");
    reason = undefined;
    failures = 0;
    refusals = 0;
    if (queue.view().entries.length > 0) hasChanged = true;
  };

  const send = async (url: URL, signal: AbortSignal): Promise<void> => {
    hasChanged = false;
    const { dropped, entries: queued } = queue.view();
    const entries = queued.slice(0, entriesAReport);
    const token = await deps.token();
    const authorization = address === undefined ? undefined : authorizationFor(token, address);
    const whole: Report = {
      version: 1,
      sequence: ++sequence,
      session,
      sentAt: new Date(clock.wallMs()).toISOString(),
      ...deps.snapshot(),
      occurrences: entries.flatMap((entry) => (entry.kind === "occurrence" ? [entry.value] : [])),
      dropped,
      commandResults: entries.flatMap((entry) => (entry.kind === "command-result" ? [entry.value] : [])),
    };
    const fitted = fitReport(whole, maxBytes);
    const report = smallerOf(base, fitted);
    const answer = await postReport({ url, authorization, report, timeoutMs: TIMEOUT_MS, signal }, deps);
    if (answer.isDelivered) {
      // What has happened is told; what is so is what the next one may build on.
      base = answer.isBase ? { ...fitted, occurrences: [], commandResults: [] } : undefined;
      onDelivered(entries, dropped);
      return;
    }
    const wasDelta = base !== undefined;
    if (answer.wantsWhole || BODY_REFUSED.includes(answer.status)) base = undefined;
    if (answer.wantsWhole && wasDelta) return send(url, signal);
    if (answer.status === 413) maxBytes = Math.max(MIN_REPORT_BYTES, Math.floor(maxBytes / 2));
    if (BODY_REFUSED.includes(answer.status) && entries.length > 0) onBodyRefused(entries);
    // The key was changed while this report was on its way with the old one.
    if (answer.status === 401 && token !== (await deps.token())) return send(url, signal);
    const said = answer.problem === undefined ? "" : `: ${answer.problem}`;
    throw onFailure(`HTTP ${answer.status}${said}`, answer.retryAfterMs, answer.status);
  };

  const attempt = async (url: URL, signal: AbortSignal): Promise<void> => {
    try {
      await send(url, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      if (thrown instanceof AppError && thrown.retryAfterMs !== undefined) throw thrown;
      throw onFailure(messageOf(thrown), undefined, undefined);
    }
  };

  return {
    name: "reporter",
    changed,
    occurred: (value) => keep({ kind: "occurrence", value }),
    commandResult: (value) => keep({ kind: "command-result", value }),
    renewSession: (next) => {
      session = next;
      sequence = 0;
      base = undefined;
      changed();
    },
    status: () => {
      const { entries, dropped } = queue.view();
      const state = address === undefined ? "off" : reason === undefined ? "ok" : "failing";
      return { state, queued: entries.length, dropped, ...(reason === undefined ? {} : { reason }) };
    },
    run: async (signal) => {
      if (address === undefined) {
        await untilAborted(signal);
        return;
      }
      try {
        await queue.load();
        while (!signal.aborted) {
          await untilDue(signal);
          await pRetry(() => attempt(address.url, signal), {
            retries: Number.POSITIVE_INFINITY,
            minTimeout: 0,
            signal,
            onFailedAttempt: ({ error }) => {
              const delayMs = error instanceof AppError ? error.retryAfterMs : undefined;
              return clock.delay(delayMs ?? RETRY_BASE_MS, signal);
            },
          });
        }
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
      } finally {
        await queue.settled();
      }
    },
  };
}

/** Pure. */
function smallerOf(base: Report | undefined, whole: Report): Report | ReportDelta {
  const delta = base === undefined ? undefined : deltaOf(base, whole);
  return delta !== undefined && sizeOf(delta) < sizeOf(whole) ? delta : whole;
}

function sizeOf(report: Report | ReportDelta): number {
  return JSON.stringify(report).length;
}
