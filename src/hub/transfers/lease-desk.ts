import type { Assignment, CopyItem, Place, Work } from "../../contract/transfer/assignment.ts";
import { joinPath } from "../../contract/transfer/transfer-path.ts";
import { inOrder } from "./choose-workers.ts";
import { copyWork, NoWay } from "./copy-work.ts";
import { type Asker, createLeaseStates, LOOKED_AT } from "./lease-states.ts";
import { LEASE_TTL_MS } from "./lease-watch.ts";
import type { LoadedPiece } from "./piece-book.ts";
import { type Pools, poolsOf, type TransferHall } from "./transfer-hall.ts";
import {
  leaseIdOf,
  listedSide,
  type Side,
  type Step,
  sideOfPiece,
  type Transfer,
  type TransferRecord,
} from "./transfer-record.ts";
import { isReady, leaseUnit, openItems, rangesOf, type UnitStates } from "./unit-states.ts";
import { UnreadablePlan } from "./unreadable-plan.ts";
import type { Worker } from "./worker-record.ts";
import { barOf, type Share, sharesOf } from "./worker-shares.ts";

/** Gives work to who asks. Every lease is in the store before anybody hears of it. */
export interface LeaseDesk {
  /** The next piece of work for a worker, or nothing. `serves`: only what others wait for. */
  pick(worker: AskingWorker, only?: "serves"): Promise<Assignment | undefined>;
}

export type AskingWorker = Worker & Pick<Asker, "held">;

export function createLeaseDesk(hall: TransferHall): LeaseDesk {
  const { book, pieces, watch, rests, inTurn, notes, serves, senders, workers, mark } = hall;

  const { isOut, isFree, stateOf } = createLeaseStates(hall);

  const assignmentOf = (
    transfer: Transfer,
    worker: AskingWorker,
    given: {
      readonly pools: Pools;
      readonly unit: string;
      readonly attempt: number;
      readonly work: Work;
      readonly path?: string;
      readonly range?: { readonly offset: number; readonly length: number };
    },
  ): Assignment => {
    const { request } = transfer;
    const ttlMs = transfer.mode === "plain" ? LEASE_TTL_MS.plain : LEASE_TTL_MS.full;
    const leaseId = leaseIdOf(transfer.uid, given.unit, given.attempt);
    watch.granted(leaseId, worker.id, ttlMs);
    return {
      request_id: transfer.id,
      worker_id: worker.id,
      source_path: joinPath(request.source_path, given.path ?? ""),
      destination_path: joinPath(request.destination_path, given.path ?? ""),
      chunk_offset: given.range?.offset ?? 0,
      chunk_size: given.range?.length ?? request.chunk_size_mb * 1024 * 1024,
      source_worker_pool: given.pools.sources.map((member) => member.worker.id),
      destination_worker_pool: given.pools.destinations.map((member) => member.worker.id),
      lease_id: leaseId,
      attempt: given.attempt,
      requested_ms: transfer.createdMs,
      ttl_seconds: ttlMs / 1000,
      work: given.work,
    };
  };

  /** Writes the next attempt of a step of the transfer itself. `undefined`: someone was quicker. */
  const leaseStep = async (
    transfer: Transfer,
    attempt: number,
    change: (record: Transfer) => { readonly step: Step; readonly next: (step: Step) => TransferRecord } | undefined,
    worker: AskingWorker,
  ): Promise<Transfer | undefined> => {
    let isMine = false;
    const after = await book.change(transfer.id, (fresh) => {
      isMine = false;
      const found = fresh.uid === transfer.uid && fresh.phase === transfer.phase ? change(fresh) : undefined;
      if (found === undefined || found.step.isDone || found.step.attempt !== attempt) return undefined;
      isMine = true;
      return found.next({ ...found.step, attempt: attempt + 1, worker: worker.id });
    });
    return isMine ? after : undefined;
  };

  const simpleStep = async (
    transfer: Transfer,
    worker: AskingWorker,
    name: "list" | "close" | "discard",
    given: { readonly pools: Pools; readonly work: (leased: Transfer) => Work },
  ): Promise<Assignment | undefined> => {
    const step = transfer[name];
    if (!isFree(transfer, name, worker)) return undefined;
    const leased = await leaseStep(
      transfer,
      step.attempt,
      (fresh) => ({ step: fresh[name], next: (next) => ({ ...fresh, [name]: { ...fresh[name], ...next } }) }),
      worker,
    );
    if (leased === undefined) return undefined;
    return assignmentOf(leased, worker, {
      pools: given.pools,
      unit: name,
      attempt: leased[name].attempt,
      work: given.work(leased),
    });
  };

  const list = (transfer: Transfer, worker: AskingWorker, pools: Pools) =>
    simpleStep(transfer, worker, "list", {
      pools,
      work: ({ request, list: { pages, last, round, changed }, ...leased }) => ({
        kind: "list",
        source: placeOf(leased[listedSide(transfer)]),
        ...(round > 0
          ? { file_list: changed ?? [] }
          : request.file_list === undefined
            ? {}
            : { file_list: request.file_list }),
        include: request.include ?? [],
        exclude: request.exclude ?? [],
        preserve: request.preserve,
        next_page: pages,
        ...(last === undefined ? {} : { resume_after: last }),
      }),
    });

  const destinationOf = ({ destination }: Transfer) => placeOf(destination);

  const plain = async (transfer: Transfer, worker: AskingWorker, pools: Pools): Promise<Assignment | undefined> => {
    const steps = transfer.plain ?? [];
    const give = (index: number, attempt: number) =>
      assignmentOf(transfer, worker, {
        pools,
        unit: `plain-${index}`,
        attempt,
        work: { kind: "plain" },
        path: steps[index]?.path ?? "",
      });
    const own = steps.findIndex(
      (step, index) => !step.isDone && step.worker === worker.id && isOut(transfer, `plain-${index}`, step),
    );
    // It asks again while it has something: the answer was lost, or it has begun anew.
    if (own !== -1) return give(own, steps[own]?.attempt ?? 1);
    for (const [index, step] of steps.entries()) {
      if (step.isDone || isOut(transfer, `plain-${index}`, step)) continue;
      const leased = await leaseStep(
        transfer,
        step.attempt,
        (fresh) => {
          const now = fresh.plain?.[index];
          if (now === undefined) return undefined;
          const next = (changed: Step) => ({
            ...fresh,
            plain: fresh.plain?.map((other, at) => (at === index ? { ...other, ...changed } : other)),
          });
          return { step: now, next };
        },
        worker,
      );
      if (leased !== undefined) return give(index, leased.plain?.[index]?.attempt ?? 1);
    }
    return undefined;
  };

  const unitOf = async (
    transfer: Transfer,
    worker: AskingWorker,
    pools: Pools,
    mayTake: (piece: number) => boolean,
  ): Promise<Assignment | undefined> => {
    if (!rests.isOver(`${transfer.uid}:copy`)) return undefined;
    const summaries = await pieces.summaries(transfer);
    let looked = 0;
    const stragglers: { readonly piece: number; readonly index: number }[] = [];
    for (const [piece, summary] of summaries.entries()) {
      if (summary.open === 0 || !mayTake(piece)) continue;
      if (++looked > LOOKED_AT) return undefined;
      const loaded = await pieces.load(transfer, piece);
      if (loaded.piece.units.length === 0) {
        // Hard links alone, or directories that are compared: there is nothing to wait for.
        await pieces.change(transfer, piece, ({ states }) => ({ states: { ...states }, answer: undefined }));
        mark(transfer.id);
        continue;
      }
      for (const index of loaded.piece.units.keys()) {
        const found = stateOf(transfer, worker, { piece, index, loaded });
        if (found === "straggler") stragglers.push({ piece, index });
        if (found !== "free") continue;
        const granted = await leaseAndBuild(transfer, worker, { pools, piece, index, loaded });
        if (granted !== undefined) return granted;
      }
    }
    // Nothing else is left for it: what takes long elsewhere is begun a second time, and the later attempt is the one that counts.
    const [tail] = transfer.list.isDone ? stragglers : [];
    if (tail === undefined) return undefined;
    const loaded = await pieces.load(transfer, tail.piece);
    return leaseAndBuild(transfer, worker, { pools, ...tail, loaded });
  };

  const leaseAndBuild = async (
    transfer: Transfer,
    worker: AskingWorker,
    at: { readonly pools: Pools; readonly piece: number; readonly index: number; readonly loaded: LoadedPiece },
  ): Promise<Assignment | undefined> => {
    const { pools, piece, index } = at;
    const seen = at.loaded.states.units[index];
    const unit = `${piece}.${index}`;
    // Whether there is a way is known before the lease is given.
    const way =
      at.loaded.piece.units[index]?.kind !== "copy"
        ? undefined
        : transfer.request.mode === "verify"
          ? hashing(transfer, { piece, unit })
          : await copyWork(hall, { transfer, worker, pools, unit });
    const leased = await pieces.change(transfer, piece, ({ piece: whole, states }) => {
      const now = states.units[index];
      const isFree = now?.attempt === seen?.attempt && now?.state === seen?.state && isReady(whole, states, index);
      if (!isFree) return { states, answer: undefined };
      const next = leaseUnit(states, index, worker.id);
      return { states: next, answer: { whole, next } };
    });
    if (leased === undefined) return undefined;
    const attempt = leased.next.units[index]?.attempt ?? 1;
    const planned = leased.whole.units[index];
    if (planned === undefined) return undefined;
    const items = openItems(planned, leased.next.units[index]).flatMap((item) => {
      const { entry: of = -1, offset = 0, length = 0 } = planned.items[item] ?? {};
      const entry = leased.whole.entries[of];
      return entry === undefined ? [] : [{ entry, offset, length }];
    });
    const [first] = items;
    if (first === undefined) return undefined;
    const work =
      way === undefined
        ? finishWork(transfer, { unit, entry: first.entry, ranges: rangeHashes(leased, index) })
        : await way.build({ attempt, items });
    notes.clear(transfer.id);
    return assignmentOf(transfer, worker, { pools, unit, attempt, work, path: first.entry.path, range: first });
  };

  const hashing = (transfer: Transfer, { piece, unit }: { readonly piece: number; readonly unit: string }) => ({
    build: async ({ items }: { readonly items: readonly CopyItem[] }): Promise<Work> => ({
      kind: "hash",
      unit,
      place: placeOf(transfer[sideOfPiece(transfer, piece)]),
      items: [...items],
      verify: transfer.request.verify,
    }),
  });

  const finishWork = (
    transfer: Transfer,
    given: Pick<Extract<Work, { kind: "finish" }>, "unit" | "entry" | "ranges">,
  ): Work => ({
    kind: "finish",
    destination: destinationOf(transfer),
    verify: transfer.request.verify,
    preserve: transfer.request.preserve,
    ...given,
  });

  const give = (
    share: Share,
    { transfer, worker, pools }: { readonly transfer: Transfer; readonly worker: AskingWorker; readonly pools: Pools },
  ): Promise<Assignment | undefined> => {
    switch (share.kind) {
      case "discard":
        return simpleStep(transfer, worker, "discard", {
          pools,
          work: () => ({ kind: "discard", unit: "discard", destination: destinationOf(transfer) }),
        });
      case "close":
        return simpleStep(transfer, worker, "close", {
          pools,
          work: ({ request, list: { pieces: count, hardlinks } }) => ({
            kind: "close",
            unit: "close",
            destination: destinationOf(transfer),
            pages: count,
            has_hardlinks: hardlinks !== 0,
            delete_extraneous: request.delete_extraneous,
            preserve: request.preserve,
          }),
        });
      case "plain":
        return plain(transfer, worker, pools);
      case "list":
        return list(transfer, worker, pools);
      case "units":
        return unitOf(transfer, worker, pools, share.mayTake);
    }
  };

  const grant = async (transfer: Transfer, worker: AskingWorker): Promise<Assignment | undefined> => {
    const pools = poolsOf(transfer, hall);
    const isBarred = !rests.isOver(barOf(transfer, worker.id));
    for (const share of sharesOf(transfer, worker, { pools, held: watch.of(transfer.uid), isBarred })) {
      const given = await give(share, { transfer, worker, pools });
      if (given !== undefined) return given;
    }
    return undefined;
  };

  return {
    pick: async (worker, only) => {
      if (!workers.mayWork(worker)) return undefined;
      const served = await serves.take(worker.id);
      if (served?.work.kind === "serve") senders.sends(served.work.copy_lease_id, worker.id);
      if (served !== undefined || only === "serves") return served;
      const turns = book
        .all()
        .filter(({ phase }) => phase === "active" || phase === "closing" || phase === "cancelling")
        .map((transfer) => ({
          id: transfer.id,
          priority: transfer.request.priority,
          leases: watch.of(transfer.uid).length,
          createdMs: transfer.createdMs,
        }));
      for (const { id } of inOrder(turns)) {
        const granted = await inTurn(id, async () => {
          const transfer = book.known(id);
          if (transfer === undefined) return undefined;
          try {
            return await grant(transfer, worker);
          } catch (thrown) {
            if (!(thrown instanceof NoWay || thrown instanceof UnreadablePlan)) throw thrown;
            notes.say(id, thrown.message);
            return undefined;
          }
        });
        if (granted !== undefined) return granted;
      }
      return undefined;
    },
  };
}

function placeOf(side: Side | undefined): Place {
  return { storage_id: side?.storage ?? "", path: side?.path ?? "" };
}

/** What was hashed while it moved, in the order of the file. */
function rangeHashes(
  { whole, next }: { readonly whole: LoadedPiece["piece"]; readonly next: UnitStates },
  finish: number,
) {
  return rangesOf(whole, finish).flatMap((range) => {
    const item = whole.units[range]?.items[0];
    const sha256 = next.units[range]?.hashes?.[0];
    return item === undefined || typeof sha256 !== "string"
      ? []
      : [{ offset: item.offset, length: item.length, sha256 }];
  });
}
