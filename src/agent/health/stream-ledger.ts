/**
 * What one stream owes and what it gave: time since its first start, and every gap in its media. Pure.
 *
 * Invariants:
 * - time is monotonic; wall time only labels a gap's ends;
 * - what cannot have been seen is judged by its result: media that flows again with the same process made no gap;
 * - gaps never overlap, and their total is kept when old ones are forgotten.
 */
export interface Gap {
  readonly startWallMs: number;
  readonly endWallMs: number;
  readonly durationMs: number;
  readonly cause: string;
}

/** All closed gaps of one cause, forgotten ones too. */
export interface CauseTotal {
  readonly cause: string;
  readonly count: number;
  readonly ms: number;
}

export interface OpenGap {
  readonly startMs: number;
  readonly startWallMs: number;
  readonly cause: string;
}

export interface StreamLedger {
  /** Monotonic, on the clock of this agent: negative for a stream that is older than it. */
  readonly firstStartMs: number;
  readonly firstStartWallMs: number;
  /** Closed gaps, oldest first, at most `KEPT_GAPS`. */
  readonly gaps: readonly Gap[];
  /** All closed gaps, forgotten ones too. */
  readonly gapCount: number;
  readonly gapMs: number;
  /** The same by cause: at most `KEPT_CAUSES` and `OTHER_CAUSE`. */
  readonly causes: readonly CauseTotal[];
  readonly open: OpenGap | undefined;
  /** When media was last proved; undefined until then in this agent's life. */
  readonly lastProofMs: number | undefined;
  /** Of the last gap of this agent's life. */
  readonly lastGapEndMs: number | undefined;
}

/** What was seen of a stream at one moment. */
export interface LedgerSighting {
  readonly nowMs: number;
  readonly wallMs: number;
  /**
   * - `flowing`: media moved since the last look;
   * - `silent`: a process is there and nothing moved;
   * - `down`: there is none, or it has not made anything yet;
   * - `unknown`: an adopted process that was looked at only once.
   */
  readonly media: "flowing" | "silent" | "down" | "unknown";
  /** For how long it was silent already before this was seen: counters may go on while nothing arrives. */
  readonly silentMs?: number;
  /** Why, as far as it is known. */
  readonly cause: string;
}

export const KEPT_GAPS = 100;
/** Each cause is a label in the metrics: their number has an end, whatever a stream goes through. */
export const KEPT_CAUSES = 8;
const OTHER_CAUSE = "other";
/** A silence shorter than this is how counters come, not a gap. */
const SILENCE_MS = 3000;
/** By less than this wall and monotonic time part by rounding and slewing. */
const CLOCK_SET_MS = 1000;

export function openLedger({ nowMs, wallMs }: { readonly nowMs: number; readonly wallMs: number }): StreamLedger {
  return {
    firstStartMs: nowMs,
    firstStartWallMs: wallMs,
    gaps: [],
    gapCount: 0,
    gapMs: 0,
    causes: [],
    open: { startMs: nowMs, startWallMs: wallMs, cause: "starting" },
    lastProofMs: undefined,
    lastGapEndMs: undefined,
  };
}

/** `hasTurned`: a gap has opened or closed, so that the ledger must be written. */
export function enterSighting(
  ledger: StreamLedger,
  sighting: LedgerSighting,
): { readonly ledger: StreamLedger; readonly hasTurned: boolean } {
  const { nowMs, wallMs, media, cause, silentMs = 0 } = sighting;
  switch (media) {
    case "unknown":
      return { ledger, hasTurned: false };
    case "flowing": {
      const proved = { ...ledger, lastProofMs: nowMs };
      return ledger.open === undefined
        ? { ledger: proved, hasTurned: false }
        : { ledger: closeGap(proved, ledger.open, sighting), hasTurned: true };
    }
    case "silent":
    case "down": {
      if (ledger.open !== undefined) {
        // The first word is a guess; a diagnosis comes some seconds later.
        const open = ledger.open.cause === "silent" ? { ...ledger.open, cause } : ledger.open;
        return { ledger: { ...ledger, open }, hasTurned: false };
      }
      const earliestMs = Math.max(ledger.firstStartMs, ledger.lastGapEndMs ?? ledger.firstStartMs);
      const startMs = Math.max(earliestMs, Math.min(ledger.lastProofMs ?? nowMs, nowMs - silentMs));
      if (media === "silent" && nowMs - startMs < SILENCE_MS) {
        return { ledger, hasTurned: false };
      }
      const open = { startMs, startWallMs: wallMs - (nowMs - startMs), cause };
      return { ledger: { ...ledger, open }, hasTurned: true };
    }
  }
}

function closeGap(ledger: StreamLedger, open: OpenGap, { nowMs, wallMs }: LedgerSighting): StreamLedger {
  const durationMs = Math.max(0, nowMs - open.startMs);
  const startWallMs = wallMs - durationMs;
  const gap = {
    // The start that was told while it was open, so that it stays the same gap; unless the clock was set meanwhile.
    startWallMs: Math.abs(startWallMs - open.startWallMs) < CLOCK_SET_MS ? open.startWallMs : startWallMs,
    endWallMs: wallMs,
    durationMs,
    cause: open.cause,
  };
  return {
    ...ledger,
    gaps: [...ledger.gaps, gap].slice(-KEPT_GAPS),
    gapCount: ledger.gapCount + 1,
    gapMs: ledger.gapMs + durationMs,
    causes: addCause(ledger.causes, { cause: open.cause, count: 1, ms: durationMs }),
    open: undefined,
    lastGapEndMs: nowMs,
  };
}

/** One that comes when there are `KEPT_CAUSES` already is counted as `OTHER_CAUSE`. */
function addCause(causes: readonly CauseTotal[], added: CauseTotal): readonly CauseTotal[] {
  const isKnown = causes.some(({ cause }) => cause === added.cause);
  const hasRoom = causes.filter(({ cause }) => cause !== OTHER_CAUSE).length < KEPT_CAUSES;
  const name = isKnown || hasRoom ? added.cause : OTHER_CAUSE;
  const total = causes.find(({ cause }) => cause === name) ?? { count: 0, ms: 0 };
  const next = { cause: name, count: total.count + added.count, ms: total.ms + added.ms };
  return [...causes.filter(({ cause }) => cause !== name), next];
}

export interface LedgerTotals {
  readonly expectedMs: number;
  readonly provenMs: number;
  /** 0 to 1. */
  readonly share: number;
}

export function totalsOf(ledger: StreamLedger, nowMs: number): LedgerTotals {
  const expectedMs = Math.max(0, nowMs - ledger.firstStartMs);
  const openMs = ledger.open === undefined ? 0 : Math.max(0, nowMs - ledger.open.startMs);
  const provenMs = Math.max(0, expectedMs - ledger.gapMs - openMs);
  return { expectedMs, provenMs, share: expectedMs === 0 ? 1 : provenMs / expectedMs };
}
