import { statSync } from "node:fs";
import { hasDefaultRoute } from "../../base/default-route.ts";
import { createProcessSockets } from "../../base/process-sockets.ts";
import type { Service } from "../../base/service.ts";
import { readWaitChannel } from "../../base/wait-channel.ts";
import type { LinkStatus } from "../../contract/local-status.ts";
import type { Workload } from "../../contract/workload.ts";
import type { AgentContext, Notices } from "../agent-context.ts";
import { type Unit, unitsOf } from "../reconcile/unit.ts";
import { createGapFile } from "../registry/gap-file.ts";
import type { WorkloadFiles } from "../runtime/process/process-runtime.ts";
import type { Lane } from "../runtime/run-handle.ts";
import type { WorkloadDriver } from "../workload/driver.ts";
import type { Finding } from "./finding.ts";
import { createGapLedger, type GapLedger } from "./gap-ledger.ts";
import { explains, type IncidentFacts } from "./incident.ts";
import { createIncidentBook, type IncidentBook } from "./incident-book.ts";
import { provesMedia } from "./media-proof.ts";
import { createMonitor } from "./monitor.ts";
import { NOTHING_MISSED, sightingOfWorkload } from "./sighting.ts";
import { traitsOf } from "./workload-traits.ts";

/** Everything that watches over running workloads: who is ill, what hits the whole box, and what was missing. */
export interface HealthWatch extends Service {
  readonly incidents: IncidentBook;
  readonly gaps: GapLedger;
}

export interface HealthWatchParts {
  readonly bootId: string;
  readonly gapFile: string;
  readonly driverOf: (kind: string) => WorkloadDriver | undefined;
  readonly filesOf: (workloadId: string, lane?: Lane) => WorkloadFiles;
  readonly expected: () => ReadonlyMap<string, Workload>;
  readonly units: () => ReadonlyMap<string, Unit>;
  readonly isRefused: (id: string) => boolean;
  /** What it waits for, in a word. */
  readonly blockOf: (id: string) => string | undefined;
  readonly link: () => LinkStatus;
  readonly disk: () => { readonly durable: boolean; readonly reason?: string };
  readonly wake: () => void;
  /** It sleeps, or has done its work: nothing of it is missed. */
  readonly isAtRest: (id: string) => boolean;
  /** Why the resource guard lets it not run. */
  readonly holdOf: (id: string) => string | undefined;
  readonly breachOf: (unit: Unit) => Finding | undefined;
  readonly hasten: (delayMsOf: (unit: Unit) => number | undefined) => void;
}

const PERIOD_MS = 1000;
const LANES: readonly Lane[] = [0, 1];
/** Segments of a playlist last 6 to 10 s, and nothing comes in between. */
const BURST_STALL_MS = 30_000;
/** Media for this long proves that the way out is there: kernel buffers alone cannot. */
const HEALTHY_MS = 3000;

export function createHealthWatch(context: AgentContext, parts: HealthWatchParts, notices: Notices): HealthWatch {
  const { clock, logFor, options, table } = context;
  const traits = (id: string) => traitsOf(parts.expected().get(id));

  const incidents = createIncidentBook({
    clock,
    log: logFor("HEALTH"),
    onOccurrence: (occurrence) => {
      notices.occurred(occurrence);
      notices.changed();
    },
    onRelease: (kinds, delayMsOf) =>
      parts.hasten(({ id, lastExit }) =>
        kinds.some((kind) => explains(kind, lastExit?.class ?? "")) ? delayMsOf(id) : undefined,
      ),
  });

  const gaps = createGapLedger({
    clock,
    bootId: parts.bootId,
    uptimeMs: () => (table.uptimeSeconds() ?? 0) * 1000,
    openFile: (snapshot) =>
      createGapFile({ file: parts.gapFile }, { clock, log: logFor("REGISTRY"), signal: context.life, snapshot }),
    lastWriteWallMs: (id) => {
      const written = LANES.map(
        (lane) => statSync(parts.filesOf(id, lane).progressPath, { throwIfNoEntry: false })?.mtimeMs ?? 0,
      );
      return Math.max(...written) || undefined;
    },
    onOccurrence: notices.occurred,
  });

  const facts = (): Omit<IncidentFacts, "nowMs" | "wallMs"> => {
    const { state, lastByteAt, reason } = parts.link();
    return {
      healthy: [...parts.units().values()]
        .filter((unit) => provesMedia(unit, HEALTHY_MS) && !traits(unit.id).isLocal)
        .map(({ id }) => id),
      link: {
        isOff: state === "off",
        isLive: state === "live",
        silentMs: lastByteAt === undefined ? undefined : clock.wallMs() - Date.parse(lastByteAt),
        reason,
      },
      hasDefaultRoute: hasDefaultRoute(),
      disk: parts.disk(),
    };
  };

  const sight = (id: string, incident: string | undefined) =>
    sightingOfWorkload(parts.units().get(id), incident ?? parts.blockOf(id));

  const monitor = createMonitor(
    {
      periodMs: PERIOD_MS,
      limitsOf: ({ id, kind }) => {
        const { stallMs, startDeadlineMs } = options.streams;
        const { hasFollowers, isLocal, sendsInBursts } = traits(id);
        return {
          startDeadlineMs: parts.driverOf(kind)?.startDeadlineMs ?? startDeadlineMs,
          stallMs,
          sourceStallMs: sendsInBursts ? Math.max(stallMs, BURST_STALL_MS) : stallMs,
          periodMs: PERIOD_MS,
          hasFollowers,
          writesFilesOnly: isLocal,
        };
      },
      ownHealthOf: ({ id, kind }) => parts.driverOf(kind)?.healthOf?.(id),
    },
    {
      clock,
      log: logFor("HEALTH"),
      units: () => [...parts.units().values()].flatMap(unitsOf).filter(({ id }) => !parts.isAtRest(id)),
      progress: context.progress.loop("monitor"),
      sockets: createProcessSockets(),
      waitsIn: readWaitChannel,
      breachOf: parts.breachOf,
      onFinding: ({ id, finding }) => {
        if (finding !== undefined) notices.occurred({ kind: finding.cause, workloadId: id, text: finding.message });
        notices.changed();
        parts.wake();
      },
      onTick: () => {
        incidents.observe(facts());
        const [incident] = incidents.open().filter(({ kind }) => kind !== "clock-not-set");
        const units = parts.units();
        const ids = [...parts.expected().keys()].filter((id) => !parts.isRefused(id));
        const seen = (id: string) =>
          parts.isAtRest(id) ? NOTHING_MISSED : sight(id, incident?.kind ?? parts.holdOf(id));
        gaps.enter(new Map(ids.map((id) => [id, seen(id)])));
        // Only time tells that a successor is proved: nothing about it changes.
        if ([...units.values()].some(({ successor }) => successor?.phase === "running")) parts.wake();
      },
    },
  );

  return { name: "health", incidents, gaps, run: monitor.run };
}
