import type { SyncProgress, SyncState } from "../../contract/transfer/sync-progress.ts";
import type { SyncMode } from "../../contract/transfer/sync-request.ts";
import type { TransferWay } from "../../contract/transfer/worker-heartbeat.ts";
import { isoOf } from "../fleet/write-of.ts";
import { chooseSide, wishesOf } from "./choose-workers.ts";
import { keptBytes } from "./kept-bytes.ts";
import type { SeenLease } from "./lease-watch.ts";
import { poolsOf, type TransferHall } from "./transfer-hall.ts";
import { isOver, parseLeaseId, type Transfer, type TransferPhase } from "./transfer-record.ts";
import { type Totals, totalsOf } from "./transfer-totals.ts";

export type ViewTransfer = (transfer: Transfer) => Promise<SyncProgress>;

export function createTransferView(hall: TransferHall): ViewTransfer {
  const { pieces, watch, notes, rates } = hall;
  return async (transfer) => {
    const leases = watch.of(transfer.uid);
    const totals = transfer.outcome === undefined ? totalsOf(transfer, await pieces.summaries(transfer)) : undefined;
    const kept = totals === undefined ? 0 : await keptBytes(transfer, hall, leases);
    return viewOf(transfer, {
      totals,
      leases,
      kept,
      rate: totals === undefined ? undefined : rates.look(transfer.uid, totals.bytes + kept + movingBytes(leases)),
      lack: leases.length === 0 ? lackOf(transfer, hall) : undefined,
      note: notes.of(transfer.id),
      givenUp: isOver(transfer) ? [] : givenUpOf(transfer, hall),
    });
  };
}

/** Pure. */
export function viewOf(
  transfer: Transfer,
  now: {
    readonly totals: Totals | undefined;
    readonly leases: readonly SeenLease[];
    /** Bytes that lie staged, of what nobody moves at present. */
    readonly kept: number;
    /** Bytes a second, by what has come; `undefined`: by what workers say. */
    readonly rate: number | undefined;
    readonly note: string | undefined;
    /** Why nobody works on it. */
    readonly lack: string | undefined;
    readonly givenUp: SyncProgress["ways_given_up"];
  },
): SyncProgress {
  const { id, request, list, outcome, startedMs, phase } = transfer;
  const leases = isOver(transfer) ? [] : now.leases;
  const done = outcome?.bytes ?? now.totals?.bytes ?? 0;
  // What is listed again after it has changed may be longer than what was counted.
  const total = Math.max(list.bytes, done);
  const transferred = Math.min(total, done + (isOver(transfer) ? 0 : now.kept) + movingBytes(leases));
  const rate = isOver(transfer) ? 0 : (now.rate ?? leases.reduce((sum, lease) => sum + lease.rate, 0));
  const failures = outcome?.failures ?? now.totals?.failures ?? [];
  const isListed = list.isDone || transfer.mode === "plain";
  const files = transfer.mode === "plain" ? (transfer.plain?.length ?? 0) : list.files;
  return {
    request_id: id,
    mode: request.mode,
    state: stateOf(transfer),
    reason: reasonOf(transfer, now),
    source_path: request.source_path,
    destination_path: request.destination_path,
    ...(request.source_box === undefined ? {} : { source_box: request.source_box }),
    ...(request.destination_box === undefined ? {} : { destination_box: request.destination_box }),
    priority: request.priority,
    transferred_bytes: transferred,
    total_bytes: total,
    files_done: outcome?.files ?? now.totals?.files ?? 0,
    files_total: Math.max(files, outcome?.files ?? now.totals?.files ?? 0),
    is_listed: isListed,
    rate_bytes_s: rate,
    ...(isListed && rate > 0 && phase === "active" ? { seconds_left: Math.ceil((total - transferred) / rate) } : {}),
    ...(startedMs === undefined ? {} : { started_at: isoOf(startedMs) }),
    updated_at: isoOf(transfer.updatedMs),
    detail: detailOf(transfer, leases, failures),
    workers: workersOf(leases, request.mode),
    ways: [...(transfer.ways ?? [])],
    ways_given_up: now.givenUp,
    failures: [...failures],
    failures_total: outcome?.failuresTotal ?? now.totals?.failuresTotal ?? 0,
    ...(outcome?.rootHash === undefined ? {} : { root_hash: outcome.rootHash }),
    ...(outcome?.receipt === undefined ? {} : { receipt: outcome.receipt }),
    ...(outcome?.comparison === undefined ? {} : { comparison: outcome.comparison }),
  };
}

export function movingBytes(leases: readonly SeenLease[]): number {
  return leases.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Of one that has begun: which side nobody can work on at present, and why. */
function lackOf(transfer: Transfer, { workers }: TransferHall): string | undefined {
  const { phase, request, mode } = transfer;
  if (phase !== "active" && phase !== "closing" && phase !== "cancelling") return undefined;
  const pools = poolsOf(transfer, { workers });
  const wishes = wishesOf(request);
  const facts = { isActive: workers.mayWork, mode: mode ?? "full" };
  // Who closes or clears away needs no source.
  const isEmpty = {
    source: phase === "active" && pools.sources.length === 0,
    destination: pools.destinations.length === 0,
  };
  for (const side of ["source", "destination"] as const) {
    const choice = isEmpty[side] ? chooseSide(wishes[side], workers.all(), facts) : undefined;
    if (choice !== undefined && "problem" in choice) return choice.problem;
  }
  return undefined;
}

/** Between its storages, at present. */
function givenUpOf(transfer: Transfer, { ways, workers, clock }: TransferHall): SyncProgress["ways_given_up"] {
  const { source } = transfer;
  if (source === undefined) return [];
  const nowMs = clock.monotonicMs();
  return poolsOf(transfer, { workers }).destinations.flatMap(({ worker }) =>
    ways
      .of(worker.id, source.storage)
      .filter(({ untilMs }) => untilMs > nowMs)
      .map(({ way, reason, atMs }) => ({
        worker_id: worker.id,
        way,
        reason,
        at: isoOf(clock.wallMs() - (nowMs - atMs)),
      })),
  );
}

const STATES: Readonly<Record<TransferPhase, SyncState>> = {
  queued: "QUEUED",
  active: "PROGRESS",
  closing: "PROGRESS",
  completed: "COMPLETED",
  failed: "FAILED",
  cancelling: "CANCELLED",
};

/** As its users know it: it makes progress from its first lease on. */
export function stateOf({ phase, list, plain }: Transfer): SyncState {
  const hasBegun = list.attempt > 0 || plain?.some(({ attempt }) => attempt > 0) === true;
  return phase === "active" && !hasBegun ? "QUEUED" : STATES[phase];
}

function reasonOf(
  transfer: Transfer,
  {
    leases,
    note,
    lack,
    totals,
  }: {
    readonly leases: readonly SeenLease[];
    readonly note: string | undefined;
    readonly lack: string | undefined;
    readonly totals: Totals | undefined;
  },
): string {
  const { phase, list, reason } = transfer;
  if (phase === "cancelling" && lack !== undefined) return `${reason}; it waits: ${lack}`;
  if (phase !== "active" && phase !== "closing") return reason;
  const why = note ?? lack;
  if (leases.length === 0) return why === undefined ? "it waits for a worker" : `it waits: ${why}`;
  const trouble = note === undefined ? "" : `; ${note}`;
  if (phase === "closing") return `directories and links are being finished${trouble}`;
  const count = totals === undefined ? 0 : totals.failuresTotal - totals.leftOutTotal;
  const failed = count === 0 ? "" : `; ${count} failed`;
  const verb = transfer.request.mode === "verify" ? "compared" : "copied";
  const isListing = !list.isDone && transfer.mode !== "plain";
  return `it is being ${isListing ? "listed and " : ""}${verb}${failed}${trouble}`;
}

function detailOf(
  transfer: Transfer,
  leases: readonly SeenLease[],
  failures: SyncProgress["failures"],
): Record<string, string> {
  const detail: Record<string, string> = {};
  for (const { worker, isDone, failed, message } of transfer.plain ?? []) {
    if (worker === undefined) continue;
    if (!isDone) detail[worker] = "PROGRESS";
    else detail[worker] = failed === 0 ? "COMPLETED" : (message ?? "FAILED");
  }
  for (const { worker } of leases) detail[worker] = "PROGRESS";
  const [first] = failures;
  if (transfer.phase === "failed") detail["master"] = transfer.reason;
  else if (transfer.phase === "queued") detail["master"] = transfer.reason;
  else if (first !== undefined) detail["master"] = `${first.code}: ${first.message}`;
  return detail;
}

const WORDS = {
  list: "lists",
  close: "closes",
  discard: "removes what was staged",
  plain: "copies",
  serve: "serves",
  unit: "copies",
} as const;

function workersOf(leases: readonly SeenLease[], mode: SyncMode): SyncProgress["workers"] {
  const workers = new Map<string, { work: Set<string>; bytes: number; rate: number; way: TransferWay | undefined }>();
  for (const { id, worker, bytes, rate, way } of leases) {
    const held = workers.get(worker) ?? { work: new Set<string>(), bytes: 0, rate: 0, way: undefined };
    const kind = parseLeaseId(id)?.unit.kind;
    if (kind !== undefined) held.work.add(kind === "unit" && mode === "verify" ? "hashes" : WORDS[kind]);
    workers.set(worker, { work: held.work, bytes: held.bytes + bytes, rate: held.rate + rate, way: way ?? held.way });
  }
  return [...workers].map(([worker_id, { work, bytes, rate, way }]) => ({
    worker_id,
    work: [...work].join(" and "),
    bytes,
    rate_bytes_s: rate,
    ...(way === undefined ? {} : { way }),
  }));
}
