import pRetry from "p-retry";
import type { Clock, Timer } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { HttpFetch } from "../../base/http-fetch.ts";
import { createLineBudget } from "../../base/line-budget.ts";
import type { Log } from "../../base/log.ts";
import type { LoopProgress } from "../../base/progress-watch.ts";
import type { Random } from "../../base/random.ts";
import { type Service, untilAborted } from "../../base/service.ts";
import type { LinkStatus } from "../../contract/local-status.ts";
import { type Attempt, startAttempt } from "./attempt.ts";
import { type AttemptEnd, describeEnd } from "./attempt-end.ts";
import { authorizationFor, parseAddress } from "./credentials.ts";
import { createLinkIntake, type LinkIntakeDeps } from "./link-intake.ts";
import { INITIAL_LINK_STATE, type LinkInput, nextLinkState } from "./link-state.ts";
import { LONGEST_SILENCE_MS } from "./silence.ts";

export interface LinkOptions {
  /** Absent: the link stays off. */
  readonly endpoint: string | undefined;
  readonly retryDelayMs: number;
  readonly maxRetries: number;
  readonly connectTimeoutMs: number;
  readonly replayWindowMs: number;
  readonly outputTemplate: string | undefined;
  /** Default: 1 MiB. */
  readonly maxEventBytes?: number;
}

export interface LinkDeps extends LinkIntakeDeps {
  readonly fetch: HttpFetch;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Read for each attempt. */
  readonly token: () => Promise<string | undefined>;
  /** The id of the last event applied and stored. */
  readonly cursor: () => string | undefined;
  /** The answer's headers are in; before the first event of this connection is delivered. */
  readonly onConnected?: () => void;
  /** A connection ended. Events that it brought may still be delivered after this, and before the next `onConnected`. */
  readonly onDisconnected?: (reason: string) => void;
  /** The server's `Date` at an answer, and the monotonic time at which it was asked for. */
  readonly onServerDate?: (serverMs: number, askedAtMs: number) => void;
  readonly progress?: LoopProgress | undefined;
}

export interface Link extends Service {
  status(): LinkStatus;
  /**
   * Hangs up and connects without a cursor, so that the server sends the whole set. No cursor is sent until such a set
   * arrives. A call before the new connection has brought anything has no effect.
   */
  requestSnapshot(reason: string): void;
}

const DEFAULT_MAX_EVENT_BYTES = 1024 * 1024;
const CONNECTION_LINES_PER_MINUTE = 60;

/**
 * The connection to the hub, or to any SSE server. Throws `config` for an endpoint that is no http or https URL; after
 * that nothing the server does ends it.
 */
export function createLink(options: LinkOptions, deps: LinkDeps): Link {
  const { clock, log, random } = deps;
  const address = options.endpoint === undefined ? undefined : parseAddress(options.endpoint, "link.endpoint");
  const maxEventBytes = options.maxEventBytes ?? DEFAULT_MAX_EVENT_BYTES;
  const lines = createLineBudget(CONNECTION_LINES_PER_MINUTE, clock);
  let state = INITIAL_LINK_STATE;
  let sinceWallMs = clock.wallMs();
  let lastByteWallMs: number | undefined;
  /** As the server announced last: a connection that was dead from the start is found out as soon as any other. */
  let beatSeconds: number | undefined;
  let connects = 0;
  let needsSnapshot = false;
  let attempt: Attempt | undefined;
  let windowTimer: Timer | undefined;

  const step = (input: LinkInput) => {
    const { retryDelayMs, maxRetries } = options;
    const next = nextLinkState(state, input, { nowMs: clock.monotonicMs(), random, retryDelayMs, maxRetries });
    if (next.name !== state.name) sinceWallMs = clock.wallMs();
    state = next;
  };

  const intake = createLinkIntake({ outputTemplate: options.outputTemplate, maxEventBytes }, deps, () => {
    needsSnapshot = false;
    step({ kind: "snapshot" });
  });

  const tell = (call: () => void) => {
    try {
      call();
    } catch (thrown) {
      log.error(`A listener of the link failed: ${messageOf(thrown)}`);
    }
  };

  const onOpen = () => {
    step({ kind: "open" });
    deps.progress?.advance(LONGEST_SILENCE_MS);
    connects++;
    lines.write(connects === 1 ? "Connected to SSE endpoint" : "Reconnected to SSE endpoint", log.info);
    if (options.replayWindowMs > 0) {
      intake.openWindow();
      windowTimer = clock.timer(options.replayWindowMs, () => {
        windowTimer = undefined;
        intake.completeWindow();
      });
    }
    tell(() => deps.onConnected?.());
  };

  const onEnd = (end: AttemptEnd) => {
    const wasLive = state.name === "live";
    if (windowTimer !== undefined) {
      windowTimer.clear();
      windowTimer = undefined;
      intake.abandonWindow();
    }
    step({ kind: "end", end });
    deps.progress?.advance(Math.max(0, (state.dialAtMs ?? 0) - clock.monotonicMs()));
    logEnd(end);
    if (wasLive) tell(() => deps.onDisconnected?.(describeEnd(end)));
  };

  const logEnd = (end: AttemptEnd) => {
    const delay = formatSeconds((state.dialAtMs ?? 0) - clock.monotonicMs());
    const reason = describeEnd(end);
    if (end.kind === "asked") {
      lines.write(`Reconnecting for a fresh snapshot in ${delay} seconds (${reason})`, log.info);
      return;
    }
    const line = `Connection lost, retrying in ${delay} seconds (${reason})`;
    const threshold = Math.max(1, options.maxRetries);
    if (state.attempts < threshold || state.attempts % threshold === 0) lines.write(line, log.warn);
    else log.debug(line);
    if (state.attempts === threshold) {
      log.warn(`Link degraded: no event in ${threshold} attempts. Attempts go on, and fewer of them are logged`);
    }
  };

  /** One attempt, from the dial to the last trace of its connection. Never rejects. */
  const connectOnce = async (url: URL, signal: AbortSignal): Promise<AttemptEnd> => {
    // What arrived before may still move the cursor.
    deps.progress?.advance(options.connectTimeoutMs);
    await intake.idle();
    step({ kind: "dial" });
    const cursor = needsSnapshot ? undefined : deps.cursor();
    let hasSpoken = false;
    const current = startAttempt(
      { url, lastEventId: cursor, connectTimeoutMs: options.connectTimeoutMs, maxEventBytes, beatSeconds },
      {
        fetch: deps.fetch,
        clock,
        authorization: async () => (address === undefined ? undefined : authorizationFor(await deps.token(), address)),
        onOpen,
        onServerDate: deps.onServerDate,
        onBeat: (seconds) => {
          beatSeconds = seconds;
        },
        onBytes: () => {
          hasSpoken = true;
          lastByteWallMs = clock.wallMs();
          deps.progress?.advance(LONGEST_SILENCE_MS);
        },
        onRetry: (ms) => step({ kind: "retry", ms }),
        onArrival: (arrival) => {
          if (arrival.kind !== "cursor") step({ kind: "event" });
          intake.arrive(arrival);
        },
        hasRoom: () => intake.room(),
      },
    );
    attempt = current;
    const onAbort = () => current.end({ kind: "failed", message: "the agent is stopping" });
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    const end = await current.ended;
    signal.removeEventListener("abort", onAbort);
    attempt = undefined;
    // Another server may stand there now, one that beats more slowly or not at all.
    if (end.kind === "silent" && !hasSpoken) beatSeconds = undefined;
    return end;
  };

  const runAttempt = async (url: URL, signal: AbortSignal): Promise<never> => {
    const end = await connectOnce(url, signal).catch((thrown: unknown): AttemptEnd => {
      return { kind: "failed", message: messageOf(thrown) };
    });
    signal.throwIfAborted();
    onEnd(end);
    throw new AppError("unavailable", describeEnd(end));
  };

  return {
    name: "link",
    run: async (signal) => {
      if (address === undefined) {
        log.warn(
          "Not configured: nothing tells this box what to run. Set link.endpoint in /etc/sluice/agent.yaml (or SSE_ENDPOINT) " +
            "and restart the agent; until then it keeps what it last knew, and stays idle if that is nothing",
        );
        await untilAborted(signal);
        return;
      }
      log.info(`SSE endpoint: ${address.masked}`);
      step({ kind: "start" });
      try {
        await pRetry(() => runAttempt(address.url, signal), {
          retries: Number.POSITIVE_INFINITY,
          minTimeout: 0,
          signal,
          onFailedAttempt: () => clock.delay(Math.max(0, (state.dialAtMs ?? 0) - clock.monotonicMs()), signal),
        });
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
      } finally {
        windowTimer?.clear();
        windowTimer = undefined;
        step({ kind: "stop" });
        await intake.idle();
      }
    },
    status: () => {
      const { events, badEvents, lastBadEvent } = intake.counts();
      return {
        state: state.name,
        endpoint: address?.masked ?? "",
        since: new Date(sinceWallMs).toISOString(),
        attempts: state.attempts,
        connects,
        events,
        badEvents: { ...badEvents },
        ...(state.reason === undefined ? {} : { reason: state.reason }),
        ...(state.dialAtMs === undefined
          ? {}
          : { nextAttemptInSeconds: Math.max(0, Math.round(state.dialAtMs - clock.monotonicMs()) / 1000) }),
        ...(lastByteWallMs === undefined ? {} : { lastByteAt: new Date(lastByteWallMs).toISOString() }),
        ...(lastBadEvent === undefined ? {} : { lastBadEvent }),
      };
    },
    requestSnapshot: (reason) => {
      // Asked for already, and this connection may still bring it.
      if (needsSnapshot && attempt !== undefined && !state.hasEvent) return;
      needsSnapshot = true;
      attempt?.end({ kind: "asked", message: reason });
    },
  };
}

/** Whole seconds from ten on, tenths below. */
function formatSeconds(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  return String(seconds >= 10 ? Math.round(seconds) : Math.round(seconds * 10) / 10);
}
