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

export const FLIGHT_LIMITS = { minBytes: 8 * 1024, firstBytes: 128 * 1024, maxBytes: 16 * 1024 * 1024 } as const;
/**
 * What is under way beyond the pipe itself, as time. It is there at all times: without it a link that has become faster would not be noticed.
 * Where it never waits in the link's queue for as long as `standingMs`, it makes up for ends that are busy, and there may be more; where
 * it always does, there is less. Keeps an echo beside bulk within 60 ms on a link of 20 Mbit/s and 20 ms, also in another session: what is
 * watched is the link's queue, so that senders in other processes need not be told of.
 */
const SLACK = { firstMs: 10, minMs: 5, maxMs: 15, maxFastMs: 30, standingMs: 12, growth: 1.25, shrink: 0.85 } as const;
/** The same as parts of the round trip, where that is more; the least no more than `maxMs`. On a long way the ends' own delays are longer, too. */
const SLACK_SHARE = { least: 1 / 2, standing: 1 / 12, most: 1 / 8 } as const;
/** From here on (100 Mbit/s) `maxFastMs`, and a whole round trip where that is more: there what is late comes from the ends, and not from a queue. */
const FAST_BYTES_PER_MS = 12_500;
/** The least is what lets a small share of a link grow beside a large one. The most, where the pipe itself is short: more would only lie in memory. */
const SLACK_BYTES = { min: 8 * 1024, max: 1024 * 1024 } as const;
/** What was not to be seen in so long, and in two round trips, is not there. */
const LOOK_MS = 100;
/**
 * Twice as much in each round trip, until the rate has not grown by a quarter for so many round trips, or one takes much longer than the
 * shortest.
 */
const START = { gain: 2, growth: 1.25, rounds: 3, lateMs: 50 } as const;
/**
 * Where much more waits than our least explains, it is tried again, for two round trips unless the rate grows: ends that are busy make what
 * is under way smaller and smaller. Not sooner than so long, and so many round trips, after the last time.
 */
const AGAIN = { standing: 1.5, looks: 3, afterMs: 3000, afterTrips: 100, rounds: 1 } as const;
/** The queue that is kept up hides the shortest round trip: after so long it is let run dry. Sooner where round trips are strangely long. */
const RTT_WINDOW_MS = { usual: 10_000, strange: 2000 } as const;
/**
 * A round trip this many times what our own queue explains is somebody else's doing: a busy machine, other traffic. More must be
 * under way then, or the rate falls with each measurement.
 */
const FOREIGN = { from: 2, upTo: 4 } as const;
/** Of a new round trip in the smoothed one. */
const SMOOTHING = 1 / 8;
const RATE_WINDOW_MS = 1000;
/** Of the cap: who had less under way was held back by something else, and says nothing about the link but that it carries this. */
const FULL_SHARE = 0.7;
/** So long after the link was last full, it may be another one. */
const FORGET_MS = 60_000;
const FRAME_LIMITS = { minBytes: 2048, firstBytes: 16 * 1024, maxBytes: 65_536 } as const;
const FRAME_MS = 4;
/** A quicker acknowledgement than the clock can tell. */
const MIN_SAMPLE_MS = 0.05;

/** A frame under way, and how everything stood when it went. */
interface Mark {
  readonly totalSent: number;
  readonly sentMs: number;
  readonly isFull: boolean;
  readonly before: Delivery;
}

interface Delivery {
  readonly bytes: number;
  readonly atMs: number;
  /** When the last of these bytes had been sent. */
  readonly sentMs: number;
}

/** The largest of this window and of the one before it. */
interface RecentMax {
  readonly value: number;
  add(value: number, nowMs: number, windowMs: number): void;
}

function createRecentMax(): RecentMax {
  let [now, before, sinceMs] = [0, 0, 0];
  return {
    get value() {
      return Math.max(now, before);
    },
    add: (value, nowMs, windowMs) => {
      if (nowMs - sinceMs > windowMs) [now, before, sinceMs] = [0, now, nowMs];
      now = Math.max(now, value);
    },
  };
}

/**
 * Pure but for what it remembers. Rate and round trip are those of acknowledged bytes, and a beginning and bursts are dealt with, as in BBR
 * (draft-cardwell-iccrg-bbr). Instead of its cycle of probes a small queue is kept up, which costs less of an echo's time.
 */
export function createFlightGovernor(): FlightGovernor {
  let known = createKnowledge();
  return {
    get capBytes() {
      return known.capBytes();
    },
    get frameBytes() {
      const rate = known.rate();
      if (rate === 0) return FRAME_LIMITS.firstBytes;
      return Math.round(Math.min(Math.max(rate * FRAME_MS, FRAME_LIMITS.minBytes), FRAME_LIMITS.maxBytes));
    },
    sent: (bytes, nowMs) => {
      if (known.isStale(nowMs)) known = createKnowledge();
      known.sent(bytes, nowMs);
    },
    acknowledged: (bytes, nowMs) => known.acknowledged(bytes, nowMs),
    restart: () => {
      known = createKnowledge();
    },
  };
}

/** Of one carrier. Rates are bytes a millisecond. */
function createKnowledge() {
  const marks: Mark[] = [];
  let totalSent = 0;
  let delivery: Delivery = { bytes: 0, atMs: 0, sentMs: 0 };
  let capBytes: number = FLIGHT_LIMITS.firstBytes;
  let rtt = { ms: Number.POSITIVE_INFINITY, atMs: 0 };
  /** `drainedMs`: since when nothing of ours waits. */
  let probe: { drainedMs: number | undefined } | undefined;
  const rates = createRecentMax();
  let slackMs: number = SLACK.firstMs;
  let look = { sinceMs: 0, shortestMs: Number.POSITIVE_INFINITY };
  let smoothMs = 0;
  let start: { rate: number; rounds: number; endsAt: number } | undefined = { rate: 0, rounds: 0, endsAt: 0 };
  let startEndedMs = 0;
  /** So often in a row there was as little slack as may be, and much more waited than that explains. */
  let helplessLooks = 0;
  let fullMs: number | undefined;

  const flight = () => totalSent - delivery.bytes;
  const isForeign = () => smoothMs > FOREIGN.from * (rtt.ms + slackMs);
  const learnRtt = (mark: Mark, tookMs: number, nowMs: number) => {
    if (tookMs <= rtt.ms) rtt = { ms: tookMs, atMs: nowMs };
    else if (probe === undefined && nowMs - rtt.atMs > (isForeign() ? RTT_WINDOW_MS.strange : RTT_WINDOW_MS.usual)) {
      probe = { drainedMs: undefined };
    }
    if (probe !== undefined) {
      if (flight() <= FLIGHT_LIMITS.minBytes) probe.drainedMs ??= nowMs;
      if (probe.drainedMs !== undefined && mark.sentMs >= probe.drainedMs) {
        rtt = { ms: tookMs, atMs: nowMs };
        probe = undefined;
      }
    }
    smoothMs = smoothMs === 0 ? tookMs : smoothMs + (tookMs - smoothMs) * SMOOTHING;
  };
  const learnRate = ({ before, sentMs, isFull }: Mark, nowMs: number) => {
    // As they were sent, or as they were acknowledged, whichever took longer: acknowledgements that come in a burst prove nothing.
    const tookMs = Math.max(nowMs - before.atMs, sentMs - before.sentMs, MIN_SAMPLE_MS);
    const rate = (delivery.bytes - before.bytes) / tookMs;
    if (isFull) fullMs = nowMs;
    if (isFull || rate > rates.value) rates.add(rate, nowMs, Math.max(RATE_WINDOW_MS, 4 * rtt.ms));
  };
  const learnSlack = ({ isFull }: Mark, tookMs: number, nowMs: number) => {
    if (isFull) look.shortestMs = Math.min(look.shortestMs, tookMs);
    if (nowMs - look.sinceMs < Math.max(LOOK_MS, 2 * rtt.ms)) return;
    const standingMs = look.shortestMs - rtt.ms;
    look = { sinceMs: nowMs, shortestMs: Number.POSITIVE_INFINITY };
    // Nothing was full, or there is no way yet to tell.
    if (standingMs === Number.POSITIVE_INFINITY || probe !== undefined) return;
    const limitMs = Math.max(SLACK.standingMs, rtt.ms * SLACK_SHARE.standing);
    const isFast = rates.value >= FAST_BYTES_PER_MS;
    const upToMs = isFast ? SLACK.maxFastMs : SLACK.maxMs;
    const leastMs = Math.min(Math.max(rtt.ms * SLACK_SHARE.least, SLACK.minMs), upToMs);
    const mostMs = isFast ? rtt.ms : rtt.ms * SLACK_SHARE.most;
    const wantedMs = slackMs * (standingMs < limitMs ? SLACK.growth : SLACK.shrink);
    helplessLooks = wantedMs < leastMs && standingMs > AGAIN.standing * (leastMs + limitMs) ? helplessLooks + 1 : 0;
    slackMs = Math.min(Math.max(wantedMs, leastMs), Math.max(mostMs, upToMs));
  };
  const endStart = (nowMs: number) => {
    start = undefined;
    startEndedMs = nowMs;
  };
  const learnStart = ({ before, isFull }: Mark, tookMs: number, nowMs: number) => {
    if (start === undefined) {
      const afterMs = Math.max(AGAIN.afterMs, rtt.ms * AGAIN.afterTrips);
      if (isFull && helplessLooks >= AGAIN.looks && probe === undefined && nowMs - startEndedMs > afterMs) {
        start = { rate: rates.value, rounds: AGAIN.rounds, endsAt: delivery.bytes };
        helplessLooks = 0;
      }
      return;
    }
    if (isFull && tookMs > 2 * rtt.ms + START.lateMs) {
      if (nowMs - rtt.atMs > RTT_WINDOW_MS.strange || startEndedMs === 0) probe ??= { drainedMs: undefined };
      return endStart(nowMs);
    }
    if (before.bytes < start.endsAt) return;
    start.endsAt = delivery.bytes;
    if (rates.value >= start.rate * START.growth) start = { ...start, rate: rates.value, rounds: 0 };
    else if (isFull && ++start.rounds >= START.rounds) endStart(nowMs);
  };
  const wantedBytes = (): number => {
    if (probe !== undefined) return 0;
    const rate = rates.value;
    const slackBytes = Math.min(Math.max(rate * slackMs, SLACK_BYTES.min), Math.max(rate * rtt.ms, SLACK_BYTES.max));
    if (start !== undefined) return Math.max(capBytes, START.gain * rate * rtt.ms + slackBytes);
    const ownMs = rtt.ms + slackMs;
    // It keeps what there was; only what our own queue explains lets it grow.
    const kept = isForeign() ? Math.min(rate * Math.min(smoothMs, FOREIGN.upTo * ownMs), capBytes) : 0;
    return Math.max(rate * rtt.ms + slackBytes, kept);
  };

  return {
    capBytes: () => capBytes,
    rate: () => rates.value,
    isStale: (nowMs: number) => flight() === 0 && fullMs !== undefined && nowMs - fullMs > FORGET_MS,
    sent: (bytes: number, nowMs: number) => {
      if (flight() === 0) delivery = { ...delivery, atMs: nowMs, sentMs: nowMs };
      totalSent += bytes;
      marks.push({ totalSent, sentMs: nowMs, isFull: flight() >= FULL_SHARE * capBytes, before: delivery });
    },
    acknowledged: (bytes: number, nowMs: number) => {
      const total = delivery.bytes + bytes;
      const passed = marks.findIndex((mark) => mark.totalSent > total);
      const gone = marks.splice(0, passed < 0 ? marks.length : passed);
      const last = gone.at(-1);
      delivery = { bytes: total, atMs: nowMs, sentMs: last?.sentMs ?? delivery.sentMs };
      if (last === undefined) return;
      const tookMs = Math.max(nowMs - last.sentMs, MIN_SAMPLE_MS);
      learnRtt(last, tookMs, nowMs);
      learnRate(last, nowMs);
      learnSlack(last, tookMs, nowMs);
      learnStart(last, tookMs, nowMs);
      capBytes = Math.min(Math.max(wantedBytes(), FLIGHT_LIMITS.minBytes), FLIGHT_LIMITS.maxBytes);
    },
  };
}
