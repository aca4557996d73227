import type { Service } from "../../base/service.ts";
import { signToken } from "../../contract/signed-token.ts";
import type { TransferReceipt } from "../../contract/transfer/transfer-receipt.ts";
import { comparisonText, type TreeComparison } from "../../contract/transfer/tree-comparison.ts";
import type { HubContext } from "../hub-context.ts";
import { createSettledObjects, type SettledObjects, type SettledStep } from "../settled-objects.ts";
import { chooseSide, poolOf, whyNotBegun, wishesOf } from "./choose-workers.ts";
import { compareTrees } from "./compare-trees.ts";
import { decideTransfer, failureReason, type TransferDecision } from "./decide-transfer.ts";
import { hashedEntries } from "./hashed-entries.ts";
import { keptBytes } from "./kept-bytes.ts";
import { isHashAsked, UNITS_KIND } from "./piece-book.ts";
import { rootHashOf } from "./root-hash.ts";
import { BEGIN_TURN, isOverlapping, writerOf } from "./same-target.ts";
import { SERVE_KIND } from "./serve-book.ts";
import type { TransferHall } from "./transfer-hall.ts";
import {
  isOver,
  NO_STEP,
  recordOf,
  type Side,
  TRANSFER_KIND,
  type Transfer,
  type TransferRecord,
} from "./transfer-record.ts";
import { type Totals, totalsOf } from "./transfer-totals.ts";
import { movingBytes } from "./transfer-view.ts";
import { WORKER_KIND } from "./worker-record.ts";

/** Ended transfers are shown for so long, and never more of them. */
export const ENDED_KEPT_MS = 30 * 24 * 3_600_000;
export const ENDED_KEPT = 500;
/** Of those that boxes ask for by a rule: they come without end, and must not push out what people wait for. */
export const RULED_KEPT = 100;
const FULL_LAP_MS = 10_000;
const TRIM_MS = 60_000;

export interface TransferKeeper extends Service {
  readonly mark: (id: string) => void;
}

/** Brings transfers from phase to phase, by one hub at a time: begins, closes, ends and forgets them. */
export function createTransferKeeper(
  { manyHubs }: { readonly manyHubs: boolean },
  context: HubContext,
  hallOf: () => TransferHall,
): TransferKeeper {
  const { store, clock } = context;
  let trimAtMs = Number.NEGATIVE_INFINITY;

  const settled: SettledObjects<Transfer> = createSettledObjects<Transfer>(
    {
      name: "transfers",
      title: "Transfers",
      noun: "transfer",
      objectKind: TRANSFER_KIND,
      fullLapMs: FULL_LAP_MS,
      list: async () => {
        const { book } = hallOf();
        if (manyHubs) await book.refresh();
        else await book.ready();
        return new Map(book.all().map((transfer) => [transfer.id, transfer]));
      },
      // A hub that is alone has written it itself; whatever is changed is read first.
      find: async (id) => (manyHubs ? hallOf().book.get(id) : hallOf().book.known(id)),
      step: (transfer) => settle(transfer),
      onLap: async () => undefined,
      onLapDone: async () => {
        if (clock.monotonicMs() < trimAtMs) return;
        trimAtMs = clock.monotonicMs() + TRIM_MS;
        await trim();
      },
      onGone: () => undefined,
      onHint: (hint) => {
        if (hint.kind !== "objects" || hint.of !== WORKER_KIND) return;
        // Whoever waits for a worker may have one now.
        const waiting = hallOf()
          .book.all()
          .filter(({ phase }) => phase === "queued");
        for (const { id } of waiting) settled.mark(id);
        if (waiting.length > 0) settled.ring();
      },
    },
    context,
  );

  const settle = async (transfer: Transfer): Promise<SettledStep> => {
    const hall = hallOf();
    await hall.workers.ready();
    // Of what is over only the end counts.
    const totals = isOver(transfer) ? NOTHING : totalsOf(transfer, await hall.pieces.summaries(transfer));
    // Also while nobody watches: who asks then is told at once.
    if (!isOver(transfer)) {
      const leases = hall.watch.of(transfer.uid);
      const kept = await keptBytes(transfer, hall, leases);
      hall.rates.look(transfer.uid, totals.bytes + kept + movingBytes(leases));
    }
    const deadlineMs = transfer.request.deadline === undefined ? undefined : Date.parse(transfer.request.deadline);
    const decision = decideTransfer(transfer, totals, {
      isLate: deadlineMs !== undefined && deadlineMs <= clock.wallMs(),
    });
    const mayGoOn = decision === undefined ? false : await carryOut(transfer, decision, totals);
    hall.wake.ring();
    return { mayGoOn, dueMs: isOver(transfer) ? undefined : deadlineMs };
  };

  const carryOut = async (transfer: Transfer, decision: TransferDecision, totals: Totals): Promise<boolean> => {
    const { book, pieces } = hallOf();
    switch (decision.kind) {
      case "begin":
        return hallOf().inTurn(BEGIN_TURN, () => begin(transfer));
      case "relist": {
        const { last: _, ...list } = transfer.list;
        const next = {
          ...list,
          isDone: false,
          failed: 0,
          round: list.round + 1,
          changed: [...decision.paths],
          walks: [...(list.walks ?? []), list.pieces],
        };
        return put(transfer, { ...transfer, list: next });
      }
      case "close":
        return put(transfer, { ...transfer, phase: "closing" });
      case "complete":
      case "fail":
        return end(transfer, decision, totals);
      case "compare":
        return compare(transfer, totals);
      case "remove":
        await pieces.sweep(transfer.uid);
        await book.remove(transfer, { audit: auditOf(transfer, "transfer.deleted", "its workers left nothing of it") });
        pieces.forget(transfer.uid);
        markQueued();
        return false;
      case "sweep":
        await pieces.sweep(transfer.uid);
        pieces.forget(transfer.uid);
        return put(transfer, { ...transfer, isSwept: true });
    }
  };

  /** Only what is as it was looked at is changed. */
  const put = async (
    transfer: Transfer,
    next: TransferRecord,
    told?: Parameters<TransferHall["book"]["change"]>[2],
  ) => {
    const record = recordOf({ ...transfer, ...next });
    let isWritten = false;
    await hallOf().book.change(
      transfer.id,
      (fresh) => {
        isWritten = fresh.revision === transfer.revision;
        return isWritten ? record : undefined;
      },
      told,
    );
    // Someone was quicker: what they wrote is looked at in the next step.
    return true;
  };

  const begin = async (transfer: Transfer): Promise<boolean> => {
    const { workers, book } = hallOf();
    const wishes = wishesOf(transfer.request);
    const all = workers.all();
    let reason = "";
    let nearest = -1;
    // Whoever only knows the plain forms cannot compare.
    const modes = transfer.request.mode === "verify" ? (["full"] as const) : (["full", "plain"] as const);
    for (const mode of modes) {
      const facts = { isActive: workers.mayWork, mode };
      const source = chooseSide(wishes.source, all, facts);
      const destination = chooseSide(wishes.destination, all, facts);
      if ("side" in source && "side" in destination) {
        const writes = transfer.request.mode !== "verify";
        if (writes && isOverlapping(source.side, destination.side) && isOne(source.side, destination.side)) {
          const why = "source and destination are one, or one lies in the other: it would copy its own copy";
          return end(transfer, { kind: "fail", reason: why }, NOTHING);
        }
        const writer = writes ? writerOf(destination.side, transfer, book.all()) : undefined;
        if (writer !== undefined) {
          reason = `${writer} writes there; this begins when that is over`;
          break;
        }
        const paths = transfer.request.file_list ?? [""];
        const steps = mode === "plain" ? { plain: paths.map((path) => ({ ...NO_STEP, path })) } : {};
        const startedMs = clock.wallMs();
        const sides = { source: source.side, destination: destination.side };
        return put(transfer, { ...transfer, ...sides, ...steps, mode, phase: "active", reason: "", startedMs });
      }
      const why = whyNotBegun(source, destination);
      if (why !== undefined && why.near > nearest) ({ near: nearest, problem: reason } = why);
    }
    if (reason === transfer.reason) return false;
    await put(transfer, { ...transfer, reason });
    return false;
  };

  /** A disk that was cloned has the same id, and is another. */
  const isOne = (source: Side, destination: Side) =>
    poolOf(source, hallOf().workers.all(), { access: "read", box: undefined, needs: [], isActive: () => true }).some(
      ({ worker }) => worker.id === destination.anchor,
    );

  /** Who waits for room at a destination may have it now. */
  const markQueued = () => {
    for (const { id, phase } of hallOf().book.all()) if (phase === "queued") settled.mark(id);
  };

  /** What is told of it may be all the same where something could not be read: then it has failed with what it came to. */
  const compare = async (transfer: Transfer, totals: Totals): Promise<boolean> => {
    const { list, request, source, destination } = transfer;
    const { pieces } = hallOf();
    const middle = list.sourcePieces ?? list.pieces;
    const comparison = await compareTrees(
      {
        source: hashedEntries(pieces, transfer, { from: 0, to: middle }),
        destination: hashedEntries(pieces, transfer, { from: middle, to: list.pieces }),
      },
      { preserve: request.preserve, isOfRoot: source?.path === "" || destination?.path === "" },
    );
    const isWhole = totals.failuresTotal === totals.leftOutTotal;
    const decision = isWhole
      ? ({ kind: "complete" } as const)
      : ({ kind: "fail", reason: failureReason(totals, "compared") } as const);
    return end(transfer, decision, totals, comparison);
  };

  const end = async (
    transfer: Transfer,
    decision: Extract<TransferDecision, { kind: "complete" | "fail" }>,
    totals: Totals,
    comparison?: TreeComparison,
  ): Promise<boolean> => {
    const { bytes, files, failures, failuresTotal } = totals;
    const isDone = decision.kind === "complete";
    const isCopy = transfer.request.mode === "copy";
    const isHashed = isCopy && transfer.mode === "full" && isHashAsked(transfer);
    const root = isDone && isHashed ? await rootHashOf(hallOf().pieces, transfer) : undefined;
    const receipt = root === undefined ? undefined : await receiptOf(transfer, { root, bytes, files });
    const told = comparison === undefined ? "" : comparisonText(comparison);
    const reason = decision.kind === "fail" ? decision.reason : told;
    const outcome = {
      bytes,
      files,
      failures: [...failures],
      failuresTotal,
      ...(root === undefined ? {} : { rootHash: root }),
      ...(receipt === undefined ? {} : { receipt }),
      ...(comparison === undefined ? {} : { comparison }),
    };
    const next: TransferRecord = {
      ...transfer,
      phase: isDone ? "completed" : "failed",
      reason,
      endedMs: clock.wallMs(),
      outcome,
    };
    const detail = isDone && isCopy ? `${files} files, ${bytes} bytes` : reason;
    markQueued();
    return put(transfer, next, {
      audit: auditOf(transfer, isDone ? "transfer.completed" : "transfer.failed", detail),
      event: {
        kind: isDone ? "transfer.completed" : "transfer.failed",
        text: `${isCopy ? "Transfer" : "Comparison"} ${transfer.id} ${isDone ? "is complete" : "has failed"}: ${detail}`,
        data: { id: transfer.id, bytes, files },
      },
    });
  };

  /** Absent where this hub has no key to sign with: it is complete all the same. */
  const receiptOf = async (
    { id, request }: Transfer,
    what: { readonly root: string; readonly bytes: number; readonly files: number },
  ): Promise<string | undefined> => {
    if (context.secrets === undefined) return undefined;
    const key = await hallOf().keys.signing();
    const { source_path, destination_path, source_box, destination_box, verify } = request;
    const places = { source_path, destination_path, source_box, destination_box, verify };
    const iat = Math.floor(clock.wallMs() / 1000);
    const receipt: TransferReceipt = { aud: "sluice-receipt", rid: id, ...places, ...what, iat };
    return signToken(receipt, key);
  };

  const trim = async () => {
    const { book, pieces, watch, senders, workers, serves, ways, rates, rests, notes, told, applied } = hallOf();
    watch.prune();
    rests.prune();
    notes.prune();
    applied.prune();
    told.prune();
    senders.prune((lease) => watch.of(lease.split(":")[0] ?? "").some(({ id }) => id === lease));
    ways.prune();
    rates.prune();
    await workers.trim();
    await serves.trim();
    await book.trimGraves();
    const ended = book.all().filter(isOver);
    ended.sort((one, other) => (other.endedMs ?? 0) - (one.endedMs ?? 0));
    const counts = { ruled: 0, asked: 0 };
    for (const transfer of ended) {
      const kind = transfer.by.startsWith("box:") ? "ruled" : "asked";
      const isAmongFirst = counts[kind]++ < (kind === "ruled" ? RULED_KEPT : ENDED_KEPT);
      if (isAmongFirst && clock.wallMs() - (transfer.endedMs ?? 0) < ENDED_KEPT_MS) continue;
      await pieces.sweep(transfer.uid);
      await book.remove(transfer);
      pieces.forget(transfer.uid);
    }
  };

  return {
    name: "transfers",
    mark: (id) => {
      settled.mark(id);
      settled.ring();
    },
    run: async (signal) => {
      const { book, pieces, workers, serves, watch, wake } = hallOf();
      // What other hubs write is read before it is judged; a hub that is alone has written it itself.
      const stopListening = store.onHint((hint) => {
        if (!manyHubs && hint.kind !== "all") return;
        if (hint.kind === "all") watch.excuse();
        if (hint.kind === "all" || (hint.kind === "objects" && hint.of === UNITS_KIND)) pieces.doubt();
        if (hint.kind === "all" || (hint.kind === "objects" && hint.of === SERVE_KIND)) serves.doubt();
        const isWorkers = hint.kind === "all" || (hint.kind === "objects" && hint.of === WORKER_KIND);
        const isTransfers = hint.kind === "all" || (hint.kind === "objects" && hint.of === TRANSFER_KIND);
        // A store that is away says so to whoever asks for something of it; the next hint or lap reads again.
        if (isWorkers) workers.refresh().then(wake.ring, () => undefined);
        if (isTransfers) book.refresh().then(wake.ring, () => undefined);
      });
      try {
        await settled.run(Promise.resolve(), signal);
      } finally {
        stopListening();
      }
    },
  };
}

const NOTHING: Totals = { bytes: 0, files: 0, open: 0, failures: [], failuresTotal: 0, leftOutTotal: 0, changed: [] };

function auditOf({ id }: Transfer, action: string, detail: string) {
  return { actor: "hub", action, subject: `transfer/${id}`, outcome: "done" as const, detail };
}
