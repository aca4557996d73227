import type { HeartbeatAnswer, LeaseProgress, WorkerHeartbeat } from "../../contract/transfer/worker-heartbeat.ts";
import { shareOf } from "./choose-workers.ts";
import type { TransferHall } from "./transfer-hall.ts";
import { type LeasedUnit, parseLeaseId, type Transfer } from "./transfer-record.ts";
import { UnreadablePlan } from "./unreadable-plan.ts";
import type { Yielding } from "./yield-lease.ts";

/** Seconds: what a lease that is taken away costs at most is moved in this time. */
const HEARTBEAT_SECONDS = { busy: 1, idle: 3 } as const;

/** Takes heartbeats: renews the leases that they name, and says which are not theirs any more. */
export function createHeartbeatIntake(
  hall: TransferHall,
  yielding: Pick<Yielding, "choose">,
): (heartbeat: WorkerHeartbeat) => Promise<HeartbeatAnswer> {
  const { book, pieces, watch, told, senders, workers, keys, wake } = hall;

  /** Why it is not the worker's; nothing: it is. */
  const problemOf = async (worker: string, { lease_id, attempt }: LeaseProgress): Promise<string | undefined> => {
    const lease = parseLeaseId(lease_id);
    if (lease === undefined || lease.attempt !== attempt) return "it is no lease of this hub";
    const transfer = await freshTransfer(lease.uid, lease.unit);
    if (transfer === undefined) return "its request was deleted";
    const { unit } = lease;
    if (transfer.phase === "cancelling" && unit.kind !== "discard") return "its request was cancelled";
    if (transfer.phase === "completed" || transfer.phase === "failed") return `its request has ${transfer.phase}`;
    switch (unit.kind) {
      case "serve":
      case "unit": {
        if (unit.piece >= transfer.list.pieces) return "it is no lease of this hub";
        let { states } = await pieces.load(transfer, unit.piece);
        // Another hub may have given it.
        if ((states.units[unit.index]?.attempt ?? 0) < attempt) {
          ({ states } = await pieces.load(transfer, unit.piece, { isFresh: true }));
        }
        const state = states.units[unit.index];
        if (unit.kind === "unit") return stepProblem(worker, attempt, state) ?? senders.problemOf(lease_id);
        return state?.state === "leased" && state.attempt === attempt ? undefined : "nobody waits for it any more";
      }
      case "plain":
        return stepProblem(worker, attempt, transfer.plain?.[unit.index]);
      case "list":
      case "close":
      case "discard":
        return stepProblem(worker, attempt, await freshStep(transfer, unit.kind, attempt));
    }
  };

  /** What another hub has written may not be known here yet. */
  const freshTransfer = async (uid: string, unit: LeasedUnit): Promise<Transfer | undefined> => {
    const isKnown = (transfer: Transfer | undefined) =>
      transfer !== undefined && ((unit.kind !== "unit" && unit.kind !== "serve") || unit.piece < transfer.list.pieces);
    if (!isKnown(book.ofUid(uid))) await book.refresh();
    return book.ofUid(uid);
  };

  const freshStep = async (transfer: Transfer, name: "list" | "close" | "discard", attempt: number) =>
    transfer[name].attempt >= attempt ? transfer[name] : (await book.get(transfer.id))?.[name];

  const ratesOf = (leases: readonly LeaseProgress[]): HeartbeatAnswer["rates"] =>
    leases.flatMap(({ lease_id }) => {
      const lease = parseLeaseId(lease_id);
      const transfer = lease?.unit.kind === "unit" ? book.ofUid(lease.uid) : undefined;
      if (transfer === undefined) return [];
      const copying = watch.of(transfer.uid).filter(({ id }) => parseLeaseId(id)?.unit.kind === "unit").length;
      const share = shareOf(transfer.request.bandwidth_mbps, copying);
      return share === undefined ? [] : [{ lease_id, rate_bytes_s: share }];
    });

  return async (heartbeat) => {
    await Promise.all([book.ready(), workers.ready()]);
    const worker = heartbeat.worker_id;
    const before = workers.get(worker)?.heartbeat.boot_id;
    const heard = await workers.heard(heartbeat);
    // What it had before it began anew can be given out now, to itself or another.
    if (heard === "news" && before !== heartbeat.boot_id) wake.ring();
    const revoked: { lease_id: string; reason: string }[] = [];
    const kept: LeaseProgress[] = [];
    for (const lease of heartbeat.leases) {
      const reason =
        heard === "replaced"
          ? "a later process of this worker is there"
          : await problemOf(worker, lease).catch(nothingOurs);
      if (reason === undefined) {
        watch.heard(worker, lease);
        told.note(lease.lease_id, lease.transferred_bytes);
        kept.push(lease);
      } else revoked.push({ lease_id: lease.lease_id, reason });
    }
    const known = workers.get(worker);
    const yielded = known === undefined ? undefined : await yielding.choose(known, kept);
    if (yielded !== undefined) {
      kept.splice(kept.indexOf(yielded.lease), 1);
      revoked.push({ lease_id: yielded.lease.lease_id, reason: yielded.reason });
    }
    if (heartbeat.storages === undefined) watch.heardPlain(worker);
    return {
      status: "ok",
      heartbeat_seconds: kept.length > 0 ? HEARTBEAT_SECONDS.busy : HEARTBEAT_SECONDS.idle,
      revoked,
      rates: ratesOf(kept),
      ticket_keys: [...(await keys.list())],
    };
  };
}

/** A later hub has given it, and takes it back. */
function nothingOurs(thrown: unknown): undefined {
  if (!(thrown instanceof UnreadablePlan)) throw thrown;
}

function stepProblem(
  worker: string,
  attempt: number,
  step:
    | {
        readonly attempt: number;
        readonly worker?: string | undefined;
        readonly isDone?: boolean;
        readonly state?: string;
      }
    | undefined,
): string | undefined {
  if (step === undefined) return "it is no lease of this hub";
  if (step.attempt !== attempt) return `attempt ${step.attempt} has it`;
  if (step.worker !== worker) return "another worker has it";
  const isDone = step.isDone === true || (step.state !== undefined && step.state !== "leased");
  return isDone ? "its result was taken" : undefined;
}
