import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { AgentStatus } from "../../contract/local-status.ts";
import type { Occurrence } from "../../contract/report.ts";
import {
  explains,
  type Incident,
  type IncidentFacts,
  type IncidentKind,
  type IncidentState,
  NO_INCIDENTS,
  observeIncidents,
  witnessFailure,
} from "./incident.ts";
import { askGate, EMPTY_GATE, type StartGate, staggerMs } from "./start-gate.ts";

/** What the reconciler asks before it counts a failure or starts what has failed. */
export interface Restraint {
  /** A workload has failed. True: an incident explains it, so that it does not count against the workload. */
  failed(failure: { readonly id: string; readonly class: string; readonly evidence: string | undefined }): boolean;
  /** How long a workload that has failed before must wait for its turn; 0: it may start now. */
  turnInMs(id: string): number;
}

export interface IncidentBook extends Restraint {
  observe(facts: Omit<IncidentFacts, "nowMs" | "wallMs">): void;
  open(): readonly Incident[];
  /** Open ones, then those that ended last. */
  status(): AgentStatus["incidents"];
}

export interface IncidentBookDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly onOccurrence: (occurrence: Omit<Occurrence, "at">) => void;
  /** An incident has ended: who waits because of it is due after `delayMsOf`. */
  readonly onRelease: (kinds: readonly IncidentKind[], delayMsOf: (id: string) => number) => void;
}

/** While an incident is open one workload a second tries, for all of them. */
const PROBE_INTERVAL_MS = 1000;
/** After it: ten starts a second, each some 60 ms of CPU. */
const RELEASE_INTERVAL_MS = 100;
const RELEASE_SPREAD_MS = 1000;
/** What was already on its way when the incident ended may still fail because of it. */
const RELEASE_FOR_MS = 30_000;
const REMEMBERED = 10;

/** Keeps the incidents of one box, and holds back and releases its starts. */
export function createIncidentBook(deps: IncidentBookDeps): IncidentBook {
  const { clock, log } = deps;
  let state: IncidentState = NO_INCIDENTS;
  let gate: StartGate = EMPTY_GATE;
  let ended: readonly { readonly incident: Incident; readonly atMs: number; readonly durationMs: number }[] = [];

  const releasing = () => ended.filter(({ atMs }) => clock.monotonicMs() - atMs < RELEASE_FOR_MS);
  const inForce = () => [...state.open, ...releasing().map(({ incident }) => incident)];
  const holdsStarts = ({ kind }: Incident) => kind !== "clock-not-set";

  return {
    failed: (failure) => {
      const isExplained = inForce().some(({ kind }) => explains(kind, failure.class));
      if (!releasing().some(({ incident }) => explains(incident.kind, failure.class))) {
        state = witnessFailure(state, { ...failure, atMs: clock.monotonicMs() });
      }
      return isExplained;
    },
    turnInMs: (id) => {
      if (!inForce().some(holdsStarts)) return 0;
      const intervalMs = state.open.some(holdsStarts) ? PROBE_INTERVAL_MS : RELEASE_INTERVAL_MS;
      const answer = askGate(gate, id, { nowMs: clock.monotonicMs(), intervalMs });
      gate = answer.gate;
      return answer.waitMs;
    },
    observe: (facts) => {
      const nowMs = clock.monotonicMs();
      const next = observeIncidents(state, { ...facts, nowMs, wallMs: clock.wallMs() });
      state = next.state;
      for (const { kind, incident } of next.changes) {
        if (kind === "opened") {
          log.error(`Incident: ${incident.kind}: ${incident.cause}. Failures do not count until it ends`);
          deps.onOccurrence({
            kind: "incident",
            text: `${incident.kind} began: ${incident.cause}`,
            incident: { kind: incident.kind, cause: incident.cause, start: toIso(incident.startWallMs) },
          });
          continue;
        }
        const durationMs = nowMs - incident.startMs;
        ended = [{ incident, atMs: nowMs, durationMs }, ...ended].slice(0, REMEMBERED);
        log.info(`Incident over: ${incident.kind} after ${Math.round(durationMs / 1000)} s`);
        deps.onOccurrence({
          kind: "incident",
          text: `${incident.kind} ended after ${Math.round(durationMs / 1000)} s: ${incident.cause}`,
          incident: {
            kind: incident.kind,
            cause: incident.cause,
            start: toIso(incident.startWallMs),
            end: toIso(incident.startWallMs + durationMs),
          },
        });
      }
      if (next.changes.length > 0) gate = EMPTY_GATE;
      const over = next.changes.flatMap(({ kind, incident }) => (kind === "closed" ? [incident.kind] : []));
      if (over.length > 0) deps.onRelease(over, (id) => staggerMs(id, RELEASE_SPREAD_MS));
    },
    open: () => state.open,
    status: () => [
      ...state.open.map(({ kind, startWallMs, cause }) => ({ kind, cause, start: toIso(startWallMs) })),
      ...ended.map(({ incident: { kind, startWallMs, cause }, durationMs }) => ({
        kind,
        cause,
        start: toIso(startWallMs),
        end: toIso(startWallMs + durationMs),
      })),
    ],
  };
}

function toIso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
