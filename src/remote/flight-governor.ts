/**
 * How much may be under way: enough to fill the link, little enough that what is typed does not wait behind it. A link whose queue
 * is filled by us delays everybody else on it, on this connection and on others.
 */
export interface FlightGovernor {
  /** Bytes that may be sent and not acknowledged. */
  readonly capBytes: number;
  /** Of one frame: a short one may go after it within a few milliseconds. */
  readonly frameBytes: number;
  sent(bytes: number, nowMs: number): void;
  acknowledged(bytes: number, nowMs: number): void;
  /** On a new carrier what was learnt of the old one counts no more. */
  restart(): void;
}

export const FLIGHT_LIMITS = { minBytes: 64 * 1024, firstBytes: 256 * 1024, maxBytes: 16 * 1024 * 1024 } as const;
/** What may wait in the link's queue, as time. Keeps an echo beside bulk within 60 ms on a link of 20 Mbit/s. */
const QUEUE_MS = 30;
/** The same as bytes: on a fast link a queue of that time would be megabytes, which fill no pipe and only lie in memory. */
const QUEUE_MAX_BYTES = 1024 * 1024;
/** Room to find out that the link has become faster. */
const GAIN = 1.25;
const RTT_WINDOW_MS = 10_000;
/**
 * A round trip this many times what our own queue explains is somebody else's doing: a busy machine, other traffic. More must be
 * under way then, or the rate falls with each measurement.
 */
const FOREIGN = { from: 2, upTo: 4 } as const;
/** Of a new round trip in the smoothed one. */
const SMOOTHING = 1 / 8;
const RATE_WINDOW_MS = 1000;
const FRAME_LIMITS = { minBytes: 4096, maxBytes: 65_536 } as const;
const FRAME_MS = 10;
/** A quicker acknowledgement than the clock can tell. */
const MIN_SAMPLE_MS = 0.05;

interface Mark {
  readonly totalSent: number;
  readonly sentMs: number;
  readonly deliveredBytes: number;
}

/** Pure but for what it remembers. Rate and round trip are those of acknowledged bytes, as in BBR (draft-cardwell-iccrg-bbr). */
export function createFlightGovernor(): FlightGovernor {
  let marks: Mark[] = [];
  let totalSent = 0;
  let delivered = 0;
  let capBytes: number = FLIGHT_LIMITS.firstBytes;
  let rtt = { ms: Number.POSITIVE_INFINITY, atMs: 0 };
  /** The queue that we keep up hides the shortest round trip: from time to time it is let run dry. `drainedMs`: since when it is. */
  let probe: { drainedMs: number | undefined } | undefined;
  /** The best rate of this window and of the one before it, bytes a millisecond. */
  let rates = { now: 0, before: 0, sinceMs: 0 };

  let smoothMs = 0;

  const rate = () => Math.max(rates.now, rates.before);
  const learnRtt = (mark: Mark, tookMs: number, nowMs: number) => {
    if (tookMs <= rtt.ms) rtt = { ms: tookMs, atMs: nowMs };
    else if (probe === undefined && nowMs - rtt.atMs > RTT_WINDOW_MS) probe = { drainedMs: undefined };
    if (probe === undefined) return;
    if (totalSent - delivered <= FLIGHT_LIMITS.minBytes) probe.drainedMs ??= nowMs;
    if (probe.drainedMs === undefined || mark.sentMs < probe.drainedMs) return;
    rtt = { ms: tookMs, atMs: nowMs };
    probe = undefined;
  };
  const learn = (mark: Mark, nowMs: number) => {
    const tookMs = Math.max(nowMs - mark.sentMs, MIN_SAMPLE_MS);
    learnRtt(mark, tookMs, nowMs);
    const window = Math.max(RATE_WINDOW_MS, 4 * rtt.ms);
    if (nowMs - rates.sinceMs > window) rates = { now: 0, before: rates.now, sinceMs: nowMs };
    rates.now = Math.max(rates.now, (delivered - mark.deliveredBytes) / tookMs);
    smoothMs = smoothMs === 0 ? tookMs : smoothMs + (tookMs - smoothMs) * SMOOTHING;
    const ownMs = rtt.ms * GAIN + QUEUE_MS;
    const isForeign = smoothMs > FOREIGN.from * ownMs;
    // It keeps what there was; only what our own queue explains lets it grow.
    const kept = isForeign ? Math.min(rate() * Math.min(smoothMs, FOREIGN.upTo * ownMs), capBytes) : 0;
    const queueBytes = Math.min(rate() * QUEUE_MS, QUEUE_MAX_BYTES);
    const wanted = probe === undefined ? Math.max(rate() * rtt.ms * GAIN + queueBytes, kept) : 0;
    capBytes = Math.min(Math.max(wanted, FLIGHT_LIMITS.minBytes), FLIGHT_LIMITS.maxBytes);
  };

  return {
    get capBytes() {
      return capBytes;
    },
    get frameBytes() {
      if (rate() === 0) return FRAME_LIMITS.maxBytes;
      return Math.round(Math.min(Math.max(rate() * FRAME_MS, FRAME_LIMITS.minBytes), FRAME_LIMITS.maxBytes));
    },
    sent: (bytes, nowMs) => {
      totalSent += bytes;
      marks.push({ totalSent, sentMs: nowMs, deliveredBytes: delivered });
    },
    acknowledged: (bytes, nowMs) => {
      delivered += bytes;
      let last: Mark | undefined;
      let passed = 0;
      for (const mark of marks) {
        if (mark.totalSent > delivered) break;
        last = mark;
        passed += 1;
      }
      if (last === undefined) return;
      marks.splice(0, passed);
      learn(last, nowMs);
    },
    restart: () => {
      marks = [];
      totalSent = 0;
      delivered = 0;
      capBytes = FLIGHT_LIMITS.firstBytes;
      rtt = { ms: Number.POSITIVE_INFINITY, atMs: 0 };
      probe = undefined;
      smoothMs = 0;
      rates = { now: 0, before: 0, sinceMs: 0 };
    },
  };
}
