import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LINK_STATES } from "../../contract/local-status.ts";
import type { AttemptEnd } from "./attempt-end.ts";
import {
  INITIAL_LINK_STATE,
  type LinkInput,
  type LinkState,
  type LinkStateContext,
  type LinkStateName,
  nextLinkState,
} from "./link-state.ts";
import { MIN_DELAY_MS, SERVER_DELAY_MS } from "./retry-delay.ts";

const NOW_MS = 1_000_000;
const context = (random = 0.5): LinkStateContext => ({
  nowMs: NOW_MS,
  random: () => random,
  retryDelayMs: 5000,
  maxRetries: 3,
});

/** `same`: the input means nothing here and the very same state comes back. */
type Expected = LinkStateName | "same";
type Column = LinkInput["kind"] | "end-at-limit";
/** A degraded link waits or dials. */
type Row = Exclude<LinkStateName, "degraded"> | "degraded-waiting" | "degraded-dialling";

/** A new state or input does not compile until every cell of its row or column is filled. */
const TABLE: Readonly<Record<Row, Readonly<Record<Column, Expected>>>> = {
  off: {
    start: "waiting",
    dial: "same",
    open: "same",
    event: "same",
    snapshot: "same",
    retry: "same",
    end: "same",
    "end-at-limit": "same",
    stop: "same",
  },
  waiting: {
    start: "same",
    dial: "connecting",
    open: "same",
    event: "same",
    snapshot: "waiting",
    retry: "waiting",
    end: "same",
    "end-at-limit": "same",
    stop: "off",
  },
  connecting: {
    start: "same",
    dial: "same",
    open: "live",
    event: "same",
    snapshot: "connecting",
    retry: "connecting",
    end: "waiting",
    "end-at-limit": "degraded",
    stop: "off",
  },
  live: {
    start: "same",
    dial: "same",
    open: "same",
    event: "live",
    snapshot: "live",
    retry: "live",
    end: "waiting",
    "end-at-limit": "degraded",
    stop: "off",
  },
  "degraded-waiting": {
    start: "same",
    dial: "degraded",
    open: "same",
    event: "same",
    snapshot: "degraded",
    retry: "degraded",
    end: "same",
    "end-at-limit": "same",
    stop: "off",
  },
  "degraded-dialling": {
    start: "same",
    dial: "same",
    open: "live",
    event: "same",
    snapshot: "degraded",
    retry: "degraded",
    end: "waiting",
    "end-at-limit": "degraded",
    stop: "off",
  },
};

const ROWS: Readonly<Record<Row, LinkState>> = {
  off: INITIAL_LINK_STATE,
  waiting: { ...INITIAL_LINK_STATE, name: "waiting", attempts: 1, asks: 1, dialAtMs: NOW_MS },
  connecting: { ...INITIAL_LINK_STATE, name: "connecting", attempts: 1, asks: 1 },
  live: { ...INITIAL_LINK_STATE, name: "live", attempts: 1, asks: 1 },
  "degraded-waiting": { ...INITIAL_LINK_STATE, name: "degraded", attempts: 1, asks: 1, dialAtMs: NOW_MS },
  "degraded-dialling": { ...INITIAL_LINK_STATE, name: "degraded", attempts: 1, asks: 1 },
};

const COLUMNS: Readonly<Record<Column, LinkInput>> = {
  start: { kind: "start" },
  dial: { kind: "dial" },
  open: { kind: "open" },
  event: { kind: "event" },
  snapshot: { kind: "snapshot" },
  retry: { kind: "retry", ms: 2000 },
  end: { kind: "end", end: { kind: "ended" } },
  "end-at-limit": { kind: "end", end: { kind: "ended" } },
  stop: { kind: "stop" },
};

describe("link state", () => {
  for (const [row, cells] of Object.entries(TABLE) as [Row, Record<Column, Expected>][]) {
    for (const [column, expected] of Object.entries(cells) as [Column, Expected][]) {
      it(`${row} on ${column} is ${expected}`, () => {
        const state = column === "end-at-limit" ? { ...ROWS[row], attempts: 3 } : ROWS[row];
        const next = nextLinkState(state, COLUMNS[column], context());
        if (expected === "same") expect(next).toBe(state);
        else expect(next.name).toBe(expected);
      });
    }
  }

  it("counts attempts until an event arrives, and an opened connection does not reset them", () => {
    const runThrough = (inputs: readonly LinkInput[], state = ROWS.waiting) =>
      inputs.reduce((held, input) => nextLinkState(held, input, context()), state);
    const failed: LinkInput[] = [{ kind: "dial" }, { kind: "open" }, { kind: "end", end: { kind: "ended" } }];
    const twice = runThrough([...failed, ...failed]);
    expect(twice).toMatchObject({ name: "degraded", attempts: 3, reason: "closed by the server" });
    expect(runThrough([{ kind: "dial" }, { kind: "open" }], twice)).toMatchObject({ name: "live", attempts: 4 });
    expect(runThrough([{ kind: "dial" }, { kind: "open" }, { kind: "event" }], twice)).toMatchObject({ attempts: 0 });
  });
});

const delayAfter = (end: AttemptEnd, held: Partial<LinkState> = {}, random = 1 - 1e-9) => {
  const state = nextLinkState({ ...ROWS.live, ...held }, { kind: "end", end }, context(random));
  return Math.round((state.dialAtMs ?? Number.NaN) - NOW_MS);
};
const status = (code: number, retryAfterMs?: number): AttemptEnd => ({ kind: "status", status: code, retryAfterMs });

describe("delay before the next attempt", () => {
  it("grows exponentially from the configured delay to a minute, with full jitter above a floor", () => {
    const ceilings = [1, 2, 3, 4, 5, 9].map((attempts) => delayAfter({ kind: "failed", message: "x" }, { attempts }));
    expect(ceilings).toEqual([5000, 10_000, 20_000, 40_000, 60_000, 60_000]);
    expect(delayAfter({ kind: "failed", message: "x" }, { attempts: 5 }, 0.5)).toBe(30_000);
    expect(delayAfter({ kind: "failed", message: "x" }, { attempts: 5 }, 0)).toBe(MIN_DELAY_MS);
  });

  it.each([204, 401, 403, 404, 410])("is long after %i and grows to five minutes", (code) => {
    const ceilings = [0, 1, 2, 3, 4, 9].map((refusals) => delayAfter(status(code), { refusals }));
    expect(ceilings).toEqual([30_000, 60_000, 120_000, 240_000, 300_000, 300_000]);
    expect(delayAfter(status(code), { refusals: 9 }, 0)).toBe(150_000);
  });

  it.each([400, 408, 418, 500, 502, 504])("is the ordinary one after %i", (code) => {
    expect(delayAfter(status(code, 240_000))).toBe(5000);
  });

  it.each([
    ["nothing", undefined, 5000],
    ["0", 0, 5000],
    ["20 s", 20_000, 22_000],
    ["a year", 31_536_000_000, SERVER_DELAY_MS.max],
  ])("after 429 and 503 with Retry-After of %s is at least that, within limits", (_title, retryAfterMs, expected) => {
    expect(delayAfter(status(429, retryAfterMs))).toBe(expected);
    expect(delayAfter(status(503, retryAfterMs))).toBe(expected);
  });

  it("does not double beside what a server that is busy asks for", () => {
    expect(delayAfter(status(503, 20_000), { attempts: 9 })).toBe(22_000);
    expect(delayAfter(status(429, 1000), { attempts: 9 })).toBe(5000);
    expect(delayAfter(status(503), { attempts: 9 })).toBe(60_000);
  });

  it("is short after an orderly end that followed an event, and ordinary after one that did not", () => {
    expect(delayAfter({ kind: "ended" }, { hasEvent: true, attempts: 0 })).toBe(1000);
    expect(delayAfter({ kind: "ended" }, { hasEvent: true, attempts: 0 }, 0)).toBe(MIN_DELAY_MS);
    expect(delayAfter({ kind: "ended" }, { attempts: 2 })).toBe(10_000);
  });

  it("is short for the first snapshot request and grows while no snapshot comes", () => {
    const asked: AttemptEnd = { kind: "asked", message: "gap" };
    expect([0, 1, 2, 3, 9].map((asks) => delayAfter(asked, { asks }))).toEqual([1000, 2000, 4000, 8000, 60_000]);
  });

  it.each([
    [0, 1000],
    [500, 1000],
    [7000, 7000],
    [99_999_999_999, 300_000],
  ])("is at least what `retry: %i` asks, pulled into 1 s to 5 min", (ms, least) => {
    const { serverRetryMs } = nextLinkState(ROWS.live, { kind: "retry", ms }, context());
    expect(serverRetryMs).toBe(least);
    expect(delayAfter({ kind: "ended" }, { hasEvent: true, serverRetryMs }, 0)).toBe(least);
    expect(delayAfter({ kind: "ended" }, { hasEvent: true, serverRetryMs })).toBeLessThanOrEqual(
      Math.min(least * 1.1, 300_000),
    );
  });

  it("is never below the floor nor above five minutes, whatever happened", () => {
    const end = fc.oneof(
      fc.constantFrom<AttemptEnd>({ kind: "ended" }, { kind: "failed", message: "x" }, { kind: "asked", message: "y" }),
      fc
        .tuple(fc.integer({ min: 100, max: 599 }), fc.option(fc.nat(1e12), { nil: undefined }))
        .map(([code, ms]) => status(code, ms)),
    );
    const held = fc.record({ attempts: fc.nat(1e9), refusals: fc.nat(1e9), asks: fc.nat(1e9), hasEvent: fc.boolean() });
    fc.assert(
      fc.property(end, held, fc.double({ min: 0, max: 0.999999, noNaN: true }), (given, counters, random) => {
        const delayMs = delayAfter(given, counters, random);
        expect(delayMs).toBeGreaterThanOrEqual(MIN_DELAY_MS);
        expect(delayMs).toBeLessThanOrEqual(300_000);
      }),
    );
  });

  it("knows every state of the contract", () => {
    const named = new Set(Object.values(ROWS).map(({ name }) => name));
    expect([...named].sort()).toEqual([...LINK_STATES].sort());
  });
});
