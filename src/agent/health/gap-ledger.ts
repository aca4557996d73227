import type { Clock } from "../../base/clock.ts";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import type { Occurrence } from "../../contract/report.ts";
import type { GapFile, SavedGaps, SavedLedger } from "../registry/gap-file.ts";
import {
  enterSighting,
  type Gap,
  type LedgerSighting,
  openLedger,
  type StreamLedger,
  totalsOf,
} from "./stream-ledger.ts";

export type Sighting = Omit<LedgerSighting, "nowMs" | "wallMs">;

/** The ledgers of all streams of the box, kept across agents and reboots. */
export interface GapLedger {
  /** What was seen of every stream that is expected and may run. A stream that is no longer among them is forgotten. */
  enter(sightings: ReadonlyMap<string, Sighting>): void;
  /** `keep`: how many of the last gaps to tell. */
  of(id: string, keep: number): WorkloadStatus["proof"];
  commit(): Promise<void>;
}

export interface GapLedgerDeps {
  readonly clock: Clock;
  readonly bootId: string;
  /** Since the boot, milliseconds. */
  readonly uptimeMs: () => number;
  readonly openFile: (snapshot: () => SavedGaps) => GapFile;
  /** Wall time at which a stream last wrote its counters, as far as a file remembers it. */
  readonly lastWriteWallMs: (id: string) => number | undefined;
  readonly onOccurrence: (occurrence: Omit<Occurrence, "at">) => void;
}

/** Of streams that are not expected at the moment, after a reboot that cleared the set. */
const KEPT_STREAMS = 1000;

export function createGapLedger(deps: GapLedgerDeps): GapLedger {
  const { clock } = deps;
  const ledgers = new Map<string, StreamLedger>();
  /** Expected at some time in this agent's life: when it no longer is, the server has removed it. */
  const seen = new Set<string>();
  /** Of streams without an open gap, which is nearly all of them nearly always: when media was last proved. Newer than their ledgers. */
  const proofs = new Map<string, number>();

  const file = deps.openFile(() => ({
    bootId: deps.bootId,
    uptimeMs: deps.uptimeMs(),
    wallMs: clock.wallMs(),
    streams: [...ledgers].slice(-KEPT_STREAMS).map(([id, ledger]) => toSaved(id, ledger, clock.monotonicMs())),
  }));
  if (file.loaded !== undefined) {
    for (const [id, ledger] of restore(file.loaded, deps)) ledgers.set(id, ledger);
  }

  return {
    enter: (sightings) => {
      let hasTurned = false;
      for (const id of seen) {
        if (sightings.has(id)) continue;
        seen.delete(id);
        proofs.delete(id);
        hasTurned = ledgers.delete(id) || hasTurned;
      }
      const now = { nowMs: clock.monotonicMs(), wallMs: clock.wallMs() };
      for (const [id, sighting] of sightings) {
        seen.add(id);
        const held = ledgers.get(id);
        if (sighting.media === "flowing" && held !== undefined && held.open === undefined) {
          proofs.set(id, now.nowMs);
          continue;
        }
        const proofMs = proofs.get(id);
        const known = held === undefined || proofMs === undefined ? held : { ...held, lastProofMs: proofMs };
        proofs.delete(id);
        const result = enterSighting(known ?? openLedger(now), { ...now, ...sighting });
        ledgers.set(id, result.ledger);
        hasTurned ||= result.hasTurned || known === undefined;
        const gap = result.hasTurned && result.ledger.open === undefined ? result.ledger.gaps.at(-1) : undefined;
        if (gap !== undefined) {
          deps.onOccurrence({ kind: "gap", workloadId: id, text: gapText(gap), gap: toClosedGap(gap) });
        }
      }
      if (hasTurned) file.changed();
    },
    of: (id, keep) => {
      const ledger = ledgers.get(id);
      if (ledger === undefined || !seen.has(id)) return undefined;
      const totals = totalsOf(ledger, clock.monotonicMs());
      return {
        since: toIso(ledger.firstStartWallMs),
        expectedSeconds: toSeconds(totals.expectedMs),
        provenSeconds: toSeconds(totals.provenMs),
        percent: Math.floor(totals.share * 10_000) / 100,
        gapCount: ledger.gapCount + (ledger.open === undefined ? 0 : 1),
        byCause: Object.fromEntries(
          ledger.causes.map(({ cause, count, ms }) => [cause, { count, seconds: toSeconds(ms) }]),
        ),
        gaps: [...ledger.gaps.map(toClosedGap), ...(ledger.open === undefined ? [] : [openGapOf(ledger, clock)])].slice(
          -keep,
        ),
      };
    },
    commit: file.commit,
  };
}

type StatusGap = NonNullable<WorkloadStatus["proof"]>["gaps"][number];

function toClosedGap({ startWallMs, endWallMs, durationMs, cause }: Gap): StatusGap & { readonly end: string } {
  return { start: toIso(startWallMs), end: toIso(endWallMs), seconds: toSeconds(durationMs), cause };
}

function openGapOf({ open }: StreamLedger, clock: Clock): StatusGap {
  const { startMs = clock.monotonicMs(), startWallMs = clock.wallMs(), cause = "" } = open ?? {};
  return { start: toIso(startWallMs), seconds: toSeconds(clock.monotonicMs() - startMs), cause };
}

function gapText({ startWallMs, endWallMs, durationMs, cause }: Gap): string {
  return `no media from ${toIso(startWallMs)} to ${toIso(endWallMs)} (${toSeconds(durationMs)} s): ${cause}`;
}

function toSaved(id: string, ledger: StreamLedger, nowMs: number): SavedLedger {
  const { firstStartWallMs, gapCount, gapMs, gaps, causes, open } = ledger;
  return {
    id,
    firstStartWallMs,
    expectedMs: Math.max(0, nowMs - ledger.firstStartMs),
    gapCount,
    gapMs,
    gaps: [...gaps],
    causes: [...causes],
    ...(open === undefined
      ? {}
      : { open: { ageMs: Math.max(0, nowMs - open.startMs), startWallMs: open.startWallMs, cause: open.cause } }),
  };
}

/**
 * Time goes on while no agent looks. How much of it was without media is decided by the first look: nothing, when the
 * same process still makes media; else all since the stream last wrote its counters.
 */
function restore(saved: SavedGaps, deps: GapLedgerDeps): ReadonlyMap<string, StreamLedger> {
  const nowMs = deps.clock.monotonicMs();
  const wallMs = deps.clock.wallMs();
  const isSameBoot = saved.bootId === deps.bootId;
  const awayMs = Math.max(0, isSameBoot ? deps.uptimeMs() - saved.uptimeMs : wallMs - saved.wallMs);
  return new Map(
    saved.streams.map((stream) => {
      const lastWrite = deps.lastWriteWallMs(stream.id);
      const silentMs = lastWrite === undefined ? awayMs : Math.min(awayMs, Math.max(0, wallMs - lastWrite));
      const { open } = stream;
      const ledger: StreamLedger = {
        firstStartMs: nowMs - stream.expectedMs - awayMs,
        firstStartWallMs: stream.firstStartWallMs,
        gaps: stream.gaps,
        gapCount: stream.gapCount,
        gapMs: stream.gapMs,
        causes: stream.causes,
        open:
          open === undefined
            ? undefined
            : { startMs: nowMs - awayMs - open.ageMs, startWallMs: open.startWallMs, cause: open.cause },
        lastProofMs: open === undefined ? nowMs - silentMs : undefined,
        lastGapEndMs: undefined,
      };
      return [stream.id, ledger];
    }),
  );
}

function toIso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

function toSeconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}
