import { isSameJson } from "../../base/same-json.ts";
import { formatPoint } from "../../contract/describe-spec.ts";
import type { BoxConnection } from "../../contract/fleet/box-view.ts";
import { TUNNEL_PHASES } from "../../contract/fleet/tunnel.ts";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import { TUNNEL_ROLES, type TunnelRole } from "../../contract/tunnel-spec.ts";
import type { TunnelStatus } from "../../contract/tunnel-status.ts";
import type { Box } from "../store/box.ts";
import type { BoxReport } from "../store/box-report.ts";
import type { NewEvent } from "../store/event-log.ts";
import type { ExpectedEntry, ExpectedSet } from "../store/expected-set.ts";
import { knownCertificates, nextKeys } from "./plan-keys.ts";
import { type EndView, phaseOf } from "./tunnel-phase.ts";
import { boxOf, firstState, ownerOf, type Tunnel, type TunnelState, workloadIdOf } from "./tunnel-record.ts";
import { legsOf, specOf } from "./tunnel-specs.ts";

/** What the hub knows of the box at one end. */
export interface EndFacts {
  /** `undefined`: it was forgotten. */
  readonly box: Pick<Box, "id" | "state"> | undefined;
  readonly connection: BoxConnection;
  readonly lastContactMs: number | undefined;
  readonly report: BoxReport | undefined;
  /** What the box should run; `undefined` where there is no box. */
  readonly set: ExpectedSet | undefined;
}

export interface TunnelPlan {
  readonly state: TunnelState;
  /** What people should hear, in one step with the state. At most one thing at a time: the next lap tells the next. */
  readonly event: NewEvent | undefined;
  /** Parts of expected sets that have to be made exactly this. */
  readonly writes: readonly { readonly boxId: string; readonly entries: readonly ExpectedEntry[] }[];
  /** Ports that the hub chose and that something else has on the box. */
  readonly busy: readonly { readonly role: TunnelRole; readonly way: number }[];
  /** Why the tunnel has to end, where it is not ending yet. */
  readonly end: string | undefined;
  /** It is ending, and no box has anything of it any more. */
  readonly isOver: boolean;
  /** Wall time at which something is due without any word from outside. */
  readonly dueMs: number | undefined;
}

/** A box's clock that is less off than this is taken for right. */
const CLOCK_TOLERANCE_MS = 60_000;
/** Part of its life before the end of which a tunnel is told to expire, and at most how long before. */
const WARN_PART = 0.2;
const WARN_AT_MOST_MS = 600_000;

/**
 * Pure and level-triggered: from what is there to what has to be written next. Carried out wholly, in part or not at all, the
 * next plan goes on from there. Times of boxes are compared with nothing: `nowMs` is the hub's.
 */
export function planTunnel(
  tunnel: Tunnel,
  held: TunnelState | undefined,
  seen: { readonly producer: EndFacts; readonly consumer: EndFacts; readonly nowMs: number },
): TunnelPlan {
  const before = held ?? firstState(tunnel);
  const { nowMs } = seen;
  const statuses = {
    producer: statusOf(tunnel, "producer", seen.producer),
    consumer: statusOf(tunnel, "consumer", seen.consumer),
  };
  const certificates = {
    producer: knownCertificates(before.certificates.producer, statuses.producer, before.keys),
    consumer: knownCertificates(before.certificates.consumer, statuses.consumer, before.keys),
  };
  const keys = nextKeys(tunnel, before.keys, { certificates, statuses, nowMs });
  const clockAheadMs = {
    producer: clockAhead(before.clockAheadMs.producer, seen.producer.report),
    consumer: clockAhead(before.clockAheadMs.consumer, seen.consumer.report),
  };
  const told = { ...before, keys, certificates, clockAheadMs };
  const turn = nextTurn(tunnel, told, { seen, statuses });
  const common = { busy: [], end: undefined, isOver: false, dueMs: dueOf(tunnel, turn.state, nowMs) };
  if (tunnel.ending !== undefined) {
    const places = TUNNEL_ROLES.map((role) => seen[role]);
    const writes = places.flatMap(({ box, set }) =>
      box !== undefined && set !== undefined && ownPart(tunnel, set).length > 0 ? [{ boxId: box.id, entries: [] }] : [],
    );
    const isOver = TUNNEL_ROLES.every((role) => hasLetGo(tunnel, role, seen[role]));
    return { ...common, ...turn, writes, isOver };
  }
  const end = endOf(tunnel, seen);
  if (end !== undefined) return { ...common, ...turn, writes: [], end };
  const writes = TUNNEL_ROLES.flatMap((role) => {
    const { set } = seen[role];
    if (set === undefined || obstacleOf(tunnel, role, seen[role]) !== undefined) return [];
    const wanted = entryOf(tunnel, turn.state, { role, set });
    const own = ownPart(tunnel, set);
    const isThere = own.length === 1 && isSameJson(own[0], wanted);
    return isThere ? [] : [{ boxId: boxOf(tunnel, role), entries: [wanted] }];
  });
  return { ...common, ...turn, writes, busy: busyOf(tunnel, statuses) };
}

/** The last word of the end in the form that it has now. */
export function statusOf(
  tunnel: Tunnel,
  role: TunnelRole,
  { report }: Pick<EndFacts, "report">,
): TunnelStatus | undefined {
  const status = workloadOf(tunnel, role, { report })?.tunnel;
  if (status === undefined || status.role !== role || status.minTls !== tunnel.wish.minTls) return undefined;
  const legs = legsOf(tunnel, role).map(({ listen, connect }) => ({
    listen: formatPoint(listen.address, listen.port),
    connect: formatPoint(connect.host, connect.port),
  }));
  return isSameJson(status.legs, legs) ? status : undefined;
}

function workloadOf(
  tunnel: Tunnel,
  role: TunnelRole,
  { report }: Pick<EndFacts, "report">,
): WorkloadStatus | undefined {
  const id = workloadIdOf(tunnel.uid, role);
  return report?.report.workloads.find((workload) => workload.id === id);
}

/** What is told next: another phase, or that the end is near. */
function nextTurn(
  tunnel: Tunnel,
  state: TunnelState,
  {
    seen,
    statuses,
  }: {
    readonly seen: Readonly<Record<TunnelRole, EndFacts>> & { readonly nowMs: number };
    readonly statuses: Readonly<Record<TunnelRole, TunnelStatus | undefined>>;
  },
): Pick<TunnelPlan, "state" | "event"> {
  const { nowMs } = seen;
  const { uid } = tunnel;
  const ends = TUNNEL_ROLES.map((role): EndView => {
    const { connection, lastContactMs, report } = seen[role];
    return {
      boxId: boxOf(tunnel, role),
      connection,
      lastContactMs,
      status: statuses[role],
      workload: workloadOf(tunnel, role, seen[role]),
      isCut: (report?.report.omittedWorkloads ?? 0) > 0,
      obstacle: obstacleOf(tunnel, role, seen[role]),
    };
  });
  const wasUp = state.steps.some(({ phase }) => phase === "up");
  const now =
    tunnel.ending === undefined
      ? phaseOf(ends, { phase: state.phase, wasUp })
      : ({ phase: "ending", reason: tunnel.ending.reason } as const);
  const { reason: _reason, ...rest } = state;
  const next: TunnelState = { ...rest, phase: now.phase, ...(now.reason === undefined ? {} : { reason: now.reason }) };
  if (now.phase !== state.phase) {
    const text = `Tunnel ${uid} is ${now.phase}${now.reason === undefined ? "" : `: ${now.reason}`}`;
    return {
      state: { ...next, sinceMs: nowMs, steps: stepsWith(tunnel, state.steps, { phase: now.phase, nowMs }) },
      event: { kind: "tunnel.phase", text, data: { uid, from: state.phase, to: now.phase } },
    };
  }
  const warnAtMs = warnTime(tunnel);
  if (warnAtMs === undefined || nowMs < warnAtMs || state.isWarned || tunnel.ending !== undefined) {
    return { state: next, event: undefined };
  }
  const endsAt = new Date(tunnel.endsAtMs ?? nowMs).toISOString();
  const event = { kind: "tunnel.expiring", text: `Tunnel ${uid} ends at ${endsAt}`, data: { uid, endsAt } };
  return { state: { ...next, isWarned: true }, event };
}

/** Only the first time that a phase was reached; one that no report showed was passed by then. */
function stepsWith(
  { createdMs }: Pick<Tunnel, "createdMs">,
  steps: TunnelState["steps"],
  { phase, nowMs }: { readonly phase: TunnelState["phase"]; readonly nowMs: number },
): TunnelState["steps"] {
  const way = TUNNEL_PHASES.slice(0, TUNNEL_PHASES.indexOf("up") + 1);
  const reached = way.includes(phase) ? way.slice(0, way.indexOf(phase) + 1) : [phase];
  const afterMs = Math.max(0, nowMs - createdMs);
  const missing = reached.filter((one) => !steps.some((step) => step.phase === one));
  return [...steps, ...missing.map((one) => ({ phase: one, afterMs }))];
}

function entryOf(
  tunnel: Tunnel,
  state: TunnelState,
  { role, set }: { readonly role: TunnelRole; readonly set: ExpectedSet },
): ExpectedEntry {
  const { name } = tunnel.wish;
  return {
    workload: {
      kind: "tunnel",
      id: workloadIdOf(tunnel.uid, role),
      ...(name === undefined ? {} : { name }),
      spec: specOf(tunnel, state, role),
    },
    owner: ownerOf(tunnel.uid),
    // Hibernated is a person's word about one box.
    desired: ownPart(tunnel, set)[0]?.desired ?? "running",
  };
}

function ownPart({ uid }: Tunnel, set: ExpectedSet): readonly ExpectedEntry[] {
  return set.entries.filter(({ owner }) => owner === ownerOf(uid));
}

function obstacleOf(tunnel: Tunnel, role: TunnelRole, { set }: EndFacts): string | undefined {
  const id = workloadIdOf(tunnel.uid, role);
  const other = set?.entries.find(({ workload, owner }) => workload.id === id && owner !== ownerOf(tunnel.uid));
  if (other === undefined) return undefined;
  return `its place is taken by the workload ${id}, which ${other.owner === undefined ? "a person" : other.owner} put there`;
}

/** The box has taken over a set without the end, and tells nothing of it any more; or there is no box. */
function hasLetGo(tunnel: Tunnel, role: TunnelRole, { box, set, report }: EndFacts): boolean {
  if (box === undefined || box.state === "revoked") return true;
  if (set === undefined || ownPart(tunnel, set).length > 0) return false;
  // Nobody ever told it.
  if (set.revision === 0) return true;
  const applied = report?.report.applied;
  if (applied?.epoch !== set.epoch || (applied.revision ?? -1) < set.revision) return false;
  return workloadOf(tunnel, role, { report }) === undefined;
}

function endOf(
  tunnel: Tunnel,
  seen: Readonly<Record<TunnelRole, EndFacts>> & { readonly nowMs: number },
): string | undefined {
  if (tunnel.endsAtMs !== undefined && seen.nowMs >= tunnel.endsAtMs) {
    return `its lifetime is over since ${new Date(tunnel.endsAtMs).toISOString()}`;
  }
  const gone = TUNNEL_ROLES.find((role) => seen[role].box === undefined || seen[role].box?.state === "revoked");
  if (gone === undefined) return undefined;
  return `box ${boxOf(tunnel, gone)} was ${seen[gone].box === undefined ? "forgotten" : "revoked"}`;
}

/** Ports that were asked for are not replaced: somebody counts on them. */
function busyOf(
  { wish, ways }: Tunnel,
  statuses: Readonly<Record<TunnelRole, TunnelStatus | undefined>>,
): TunnelPlan["busy"] {
  return TUNNEL_ROLES.flatMap((role) => {
    const busy = new Set(statuses[role]?.busy?.map(({ listen }) => listen));
    return ways.flatMap(({ entry, gateway }, way) => {
      const isAsked = role === "producer" ? wish.via?.port !== undefined : wish.entries[way]?.port !== undefined;
      const { address, port } = role === "producer" ? gateway : entry;
      return !isAsked && busy.has(formatPoint(address, port)) ? [{ role, way }] : [];
    });
  });
}

function clockAhead(knownMs: number, report: BoxReport | undefined): number {
  const sentMs = report === undefined ? Number.NaN : Date.parse(report.report.sentAt);
  if (report === undefined || Number.isNaN(sentMs)) return knownMs;
  const aheadMs = sentMs - report.receivedMs;
  if (Math.abs(aheadMs - knownMs) < CLOCK_TOLERANCE_MS) return knownMs;
  return Math.abs(aheadMs) < CLOCK_TOLERANCE_MS ? 0 : aheadMs;
}

function warnTime({ endsAtMs, createdMs }: Tunnel): number | undefined {
  if (endsAtMs === undefined) return undefined;
  return endsAtMs - Math.min(WARN_AT_MOST_MS, (endsAtMs - createdMs) * WARN_PART);
}

function dueOf(tunnel: Tunnel, state: TunnelState, nowMs: number): number | undefined {
  if (tunnel.ending !== undefined || tunnel.endsAtMs === undefined) return undefined;
  const warnAtMs = warnTime(tunnel) ?? tunnel.endsAtMs;
  return state.isWarned || warnAtMs <= nowMs ? Math.max(tunnel.endsAtMs, nowMs) : warnAtMs;
}
