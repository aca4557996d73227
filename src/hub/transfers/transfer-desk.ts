import { createHash } from "node:crypto";
import { AppError } from "../../base/errors.ts";
import { patternProblem } from "../../contract/transfer/pattern-problem.ts";
import type { SyncRequest } from "../../contract/transfer/sync-request.ts";
import { actorOf, writeOf } from "../fleet/write-of.ts";
import type { Call } from "../http/route.ts";
import { notFound } from "../store/store-error.ts";
import { leavesNothing } from "./decide-transfer.ts";
import { BEGIN_TURN, isOntoItself, writerOf } from "./same-target.ts";
import { relistUnread } from "./skip-things.ts";
import { isRace } from "./transfer-book.ts";
import type { TransferHall } from "./transfer-hall.ts";
import { isOver, NO_STEP, recordOf, type Transfer, type TransferRecord } from "./transfer-record.ts";
import { retryFailed } from "./unit-states.ts";
import { storageWith } from "./worker-record.ts";

/** Of a removal that something else was quicker than each time. */
const CANCEL_ATTEMPTS = 16;
/** When who asks under the id of one that is being cancelled may ask again. */
const ENDING_MS = 2000;

type Asker = Pick<Call, "caller" | "request" | "address">;

/** What people ask of transfers. */
export interface TransferDesk {
  /** `conflict`: the id is another request's; `invalid`: a deadline that is over. The same request again is told the same. */
  submit(request: SyncRequest, by: Asker): Promise<{ readonly id: string }>;
  /** It is stopped; gone at once, or when its workers have confirmed that they left nothing. `not-found`. */
  cancel(id: string, by: Asker): Promise<{ readonly isGone: boolean }>;
  /** What failed is tried again. `conflict`: it has not failed, or its deadline is over. */
  retry(id: string, by: Asker): Promise<void>;
  /** It is given to this worker. `conflict`: it has neither failed nor does it wait. */
  reassign(id: string, workerId: string, by: Asker): Promise<void>;
}

export function createTransferDesk(hall: TransferHall): TransferDesk {
  const { book, pieces, workers, clock, newSecret, mark, wake, watch, inTurn } = hall;

  const require = async (id: string): Promise<Transfer> => {
    const transfer = await book.get(id);
    if (transfer === undefined) throw notFound("request", id);
    return transfer;
  };

  const audited = (id: string, by: Asker, action: string, detail?: string) =>
    writeOf(by, clock, { action, subject: `transfer/${id}`, ...(detail === undefined ? {} : { detail }) });

  const newUid = () =>
    newSecret()
      .replaceAll(/[^A-Za-z0-9]/g, "")
      .slice(0, 16);

  const isPast = (deadline: string | undefined) => deadline !== undefined && Date.parse(deadline) <= clock.wallMs();

  const changed = (id: string) => {
    mark(id);
    wake.ring();
  };

  type Again = { readonly action: string; readonly prefer?: string };

  /** Both trees may be others by now: all of it is listed and hashed anew, and under a uid with which nothing late agrees. */
  const compareAgain = async (transfer: Transfer, by: Asker, how: Again) => {
    await pieces.sweep(transfer.uid);
    await book.change(
      transfer.id,
      (fresh) => {
        if (fresh.revision !== transfer.revision) throw changedMeanwhile(transfer.id);
        const { outcome: _o, endedMs: _e, prefer: _p, source: _s, destination: _d, ...rest } = fresh;
        return recordOf({
          ...rest,
          uid: newUid(),
          phase: "queued",
          reason: "",
          failures: [],
          list: UNLISTED,
          isSwept: false,
          ...(how.prefer === undefined ? {} : { prefer: how.prefer }),
        });
      },
      audited(transfer.id, by, how.action, how.prefer),
    );
    pieces.forget(transfer.uid);
    changed(transfer.id);
  };

  const requireAlone = (transfer: Transfer) => {
    const writer = transfer.destination && writerOf(transfer.destination, transfer, book.all());
    if (writer === undefined) return;
    throw new AppError(
      "conflict",
      `request ${transfer.id} writes where ${writer} does now; allowed: when that is over`,
    );
  };

  const again = async (transfer: Transfer, by: Asker, how: Again) => {
    // It would fail once more at once.
    if (isPast(transfer.request.deadline)) {
      throw new AppError(
        "conflict",
        `request ${transfer.id} is past its deadline, ${transfer.request.deadline}; ask for it anew: what has arrived is not sent again`,
      );
    }
    if (transfer.request.mode === "verify") return compareAgain(transfer, by, how);
    requireAlone(transfer);
    // Before it goes on: while it has failed, nobody leases anything of it.
    for (let index = 0; index < transfer.list.pieces; index++) {
      await pieces.change(transfer, index, ({ piece, states }) => {
        const next = retryFailed(piece, states, transfer.list.round);
        const isSame = next.units.every((unit, at) => unit === states.units[at]);
        return { states: isSame ? states : next, answer: undefined };
      });
    }
    await inTurn(BEGIN_TURN, () =>
      book.change(
        transfer.id,
        (fresh) => {
          if (fresh.revision !== transfer.revision) throw changedMeanwhile(transfer.id);
          // Another may have begun while the pieces were written.
          requireAlone(fresh);
          const { outcome: _o, endedMs: _e, prefer: _p, ...rest } = fresh;
          const hadListed = fresh.failures.length === 0 || fresh.close.attempt > 0;
          const again: Transfer = {
            ...rest,
            phase: fresh.source === undefined || fresh.destination === undefined ? "queued" : "active",
            reason: "",
            failures: [],
            list: listAgain({ ...fresh.list, failed: 0, isDone: fresh.list.isDone && hadListed }),
            close: { ...fresh.close, isDone: false, failed: 0 },
            ...(how.prefer === undefined ? {} : { prefer: how.prefer }),
          };
          const plain = again.plain?.map((step) =>
            step.failed > 0 ? { ...step, isDone: false, failed: 0, worker: undefined } : step,
          );
          return recordOf({ ...again, ...(plain === undefined ? {} : { plain }) });
        },
        audited(transfer.id, by, how.action, how.prefer),
      ),
    );
    changed(transfer.id);
  };

  return {
    submit: async (request, by) => {
      const id = request.request_id ?? `sync-${newSecret().slice(0, 16)}`;
      const { request_id: _, mode, ...rest } = request;
      // What was asked for before there were modes is the same request still.
      const asked = mode === "copy" ? rest : { ...rest, mode };
      const bodyHash = createHash("sha256").update(JSON.stringify(asked)).digest("hex");
      // Asked for again when its time is over, it is the same request still.
      if (isPast(request.deadline) && (await book.get(id)) === undefined) {
        throw new AppError("invalid", `deadline: given ${request.deadline}; allowed: a time that is still to come`, {
          field: "deadline",
        });
      }
      if (isOntoItself(request) && (await book.get(id)) === undefined) {
        const given = JSON.stringify(request.destination_path);
        const allowed = "a place that neither is source_path nor lies in it, nor holds it";
        throw new AppError("invalid", `destination_path: given ${given}; allowed: ${allowed}`, {
          field: "destination_path",
        });
      }
      const wrong = wrongPattern(request);
      if (wrong !== undefined && (await book.get(id)) === undefined) throw wrong;
      const record: TransferRecord = {
        uid: newUid(),
        request: { ...request, request_id: id },
        bodyHash,
        by: actorOf(by.caller),
        phase: "queued",
        reason: "it was just asked for",
        list: UNLISTED,
        close: NO_STEP,
        discard: NO_STEP,
        failures: [],
        isSwept: false,
      };
      try {
        const detail = `${request.source_path} to ${request.destination_path}`;
        const made = await book.create(id, record, audited(id, by, "transfer.submit", detail));
        changed(made.id);
        return { id: made.id };
      } catch (thrown) {
        const held = thrown instanceof AppError && thrown.code === "conflict" ? await book.get(id) : undefined;
        if (held === undefined) throw thrown;
        if (held.bodyHash !== bodyHash || held.phase === "cancelling") {
          const isEnding = held.phase === "cancelling";
          const why = isEnding ? "is being cancelled" : "was asked for with another body";
          throw new AppError("conflict", `request_id: ${id} ${why}; give each request an id of its own`, {
            field: "request_id",
            ...(isEnding ? { retryAfterMs: ENDING_MS } : {}),
          });
        }
        return { id };
      }
    },
    cancel: async (id, by) => {
      for (let lost = 0; ; ) {
        const transfer = await require(id);
        const isIdle = transfer.phase === "completed" || leavesNothing(transfer);
        if (isIdle) {
          await pieces.sweep(transfer.uid);
          try {
            await book.remove(transfer, audited(id, by, "transfer.cancel"));
          } catch (thrown) {
            // Its end was only just written, and the hub goes on from there: the caller has named no revision.
            if (!isRace(thrown) || ++lost === CANCEL_ATTEMPTS) throw thrown;
            continue;
          }
          pieces.forget(transfer.uid);
          // It may have begun just now.
          if ((await book.get(id))?.uid === transfer.uid) continue;
          wake.ring();
          return { isGone: true };
        }
        const left = await book.change(
          id,
          (fresh) => {
            if (fresh.uid !== transfer.uid || fresh.phase === "cancelling" || fresh.phase === "completed")
              return undefined;
            const reason = "it was cancelled; its workers remove what they had staged";
            const { outcome: _, ...record } = fresh;
            return recordOf({ ...record, phase: "cancelling", reason });
          },
          audited(id, by, "transfer.cancel"),
        );
        // It was done just now: nobody would remove it.
        if (left?.uid === transfer.uid && left.phase === "completed") continue;
        changed(id);
        return { isGone: false };
      }
    },
    retry: async (id, by) => {
      const transfer = await require(id);
      if (transfer.phase !== "failed") throw notRetryable(transfer, "one that has FAILED");
      await again(transfer, by, { action: "transfer.retry" });
    },
    reassign: async (id, workerId, by) => {
      const transfer = await require(id);
      const worker = workers.get(workerId);
      if (worker === undefined) throw notFound("worker", workerId);
      if (!workers.isActive(worker)) {
        throw new AppError("conflict", `worker_id: ${workerId} is not heard; allowed: an active worker`, {
          field: "worker_id",
        });
      }
      const { source_path, destination_path } = transfer.request;
      if (storageWith(worker, source_path) === undefined && storageWith(worker, destination_path) === undefined) {
        throw new AppError("conflict", `worker_id: ${workerId} has neither ${source_path} nor ${destination_path}`, {
          field: "worker_id",
        });
      }
      const isWaiting =
        transfer.phase === "queued" || (transfer.phase === "active" && watch.of(transfer.uid).length === 0);
      if (transfer.phase === "failed") {
        await again(transfer, by, { action: "transfer.reassign", prefer: workerId });
        return;
      }
      if (!isWaiting) throw notRetryable(transfer, "one that waits or has FAILED");
      await book.change(
        id,
        (fresh) => (isOver(fresh) || fresh.uid !== transfer.uid ? undefined : recordOf({ ...fresh, prefer: workerId })),
        audited(id, by, "transfer.reassign", workerId),
      );
      changed(id);
    },
  };
}

/** Pure. The first of them by which nothing could be found. */
function wrongPattern(request: SyncRequest): AppError | undefined {
  for (const name of ["include", "exclude"] as const) {
    for (const [index, pattern] of (request[name] ?? []).entries()) {
      const allowed = patternProblem(pattern);
      const field = `${name}[${index}]`;
      if (allowed !== undefined)
        return new AppError("invalid", `${field}: given ${JSON.stringify(pattern)}; allowed: ${allowed}`, { field });
    }
  }
  return undefined;
}

function changedMeanwhile(id: string): AppError {
  return new AppError("conflict", `request ${id} changed meanwhile; look at it again`);
}

function notRetryable({ id, phase }: Transfer, allowed: string): AppError {
  return new AppError("conflict", `request ${id} is ${phase}; allowed: ${allowed}`, { field: "id" });
}

const UNLISTED = { ...NO_STEP, pages: 0, pieces: 0, round: 0, bytes: 0, files: 0, hardlinks: 0 };

/** Pure. What could not be listed is looked for once more. */
function listAgain(list: TransferRecord["list"]): TransferRecord["list"] {
  const { unread, last: _, ...others } = list;
  if (unread === undefined || !list.isDone) return list;
  const { paths, rest } = relistUnread(unread);
  if (paths.length === 0) return list;
  const walks = [...(list.walks ?? []), list.pieces];
  const next = { ...others, isDone: false, round: list.round + 1, changed: paths, walks };
  return rest === undefined ? next : { ...next, unread: rest };
}
