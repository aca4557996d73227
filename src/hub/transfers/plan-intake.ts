import { AppError } from "../../base/errors.ts";
import type { PlanPage } from "../../contract/transfer/plan-page.ts";
import type { ResultAnswer } from "../../contract/transfer/transfer-result.ts";
import { requireTransfer } from "./find-transfer.ts";
import { cutPage, isCounted, MIB } from "./plan-units.ts";
import { skipThings } from "./skip-things.ts";
import type { TransferHall } from "./transfer-hall.ts";
import { leaseIdOf, type Transfer } from "./transfer-record.ts";

/**
 * Takes pages of a listing, in order. The pieces of a page are written before the transfer counts them: a hub that dies between is
 * sent the same page again, and what a walk that lost its lease still sends touches nothing that is counted.
 */
export function createPlanIntake(hall: TransferHall): (page: PlanPage) => Promise<ResultAnswer> {
  const { book, pieces, watch, wake, inTurn, mark } = hall;
  return (page) =>
    inTurn(`plan/${page.request_id}`, async () => {
      const known = await requireTransfer(hall, page.request_id, page.lease_id);
      // Another hub may have given the lease, or have taken pages since.
      const isBehind = !isLister(known, page) || page.page > known.list.pages;
      const transfer = isBehind ? ((await book.get(page.request_id)) ?? known) : known;
      if (!isLister(transfer, page)) return { status: "stale" };
      watch.heard(page.worker_id, { lease_id: page.lease_id, attempt: page.attempt, transferred_bytes: 0, rate: 0 });
      if (page.page < transfer.list.pages) return { status: "duplicate" };
      if (page.page > transfer.list.pages) {
        throw new AppError("conflict", `page: given ${page.page}; allowed: ${transfer.list.pages}, the next one`, {
          field: "page",
        });
      }
      const chunk = transfer.request.chunk_size_mb * MIB;
      const cut = cutPage(page.entries, chunk);
      for (const [index, entries] of cut.entries()) {
        const written = await pieces.write(transfer, transfer.list.pieces + index, { attempt: page.attempt, entries });
        if (written === "stale") return { status: "stale" };
      }
      let isTaken = false;
      const counted = await book.change(transfer.id, (fresh) => {
        isTaken = isLister(fresh, page) && fresh.list.pages === page.page;
        if (!isTaken) return undefined;
        const { list } = fresh;
        const last = page.entries.at(-1)?.path ?? list.last;
        const isVerify = fresh.request.mode === "verify";
        const counted = page.entries.filter((entry) => (isVerify ? entry.type === "file" : isCounted(entry)));
        if (isVerify)
          return {
            ...fresh,
            list: listedForComparison(fresh, page, { cut: cut.length, last, counted: counted.length }),
          };
        return {
          ...fresh,
          list: {
            ...list,
            pages: list.pages + 1,
            pieces: list.pieces + cut.length,
            bytes: list.bytes + (list.round > 0 ? 0 : sumOf(page)),
            files: list.files + (list.round > 0 ? 0 : counted.length),
            isDone: page.is_last,
            ...(list.hardlinks === undefined
              ? {}
              : { hardlinks: list.hardlinks + page.entries.filter(({ type }) => type === "hardlink").length }),
            ...skipThings(list, page.skipped),
            ...(last === undefined ? {} : { last }),
          },
        };
      });
      if (isTaken && counted !== undefined) {
        for (const [index, entries] of cut.entries()) pieces.counted(counted, transfer.list.pieces + index, entries);
      }
      if (page.is_last && isTaken) watch.over(page.lease_id);
      mark(transfer.id);
      wake.ring();
      return { status: isTaken ? "ack" : "stale" };
    });
}

/** Pure. The destination is listed when the source is: by somebody else, and in pages that go on. */
function listedForComparison(
  { list, request }: Transfer,
  page: PlanPage,
  { cut, last, counted }: { readonly cut: number; readonly last: string | undefined; readonly counted: number },
): Transfer["list"] {
  const isOfSource = list.sourcePieces === undefined;
  const { last: _, worker: _worker, ...rest } = list;
  const side = isOfSource ? "source" : "destination";
  const absent = [...(list.absent ?? [])];
  // A name of the request that one side has not is a difference, and trouble only where neither has it.
  const isDifference = ({ code, path }: PlanPage["skipped"][number]) => {
    if (code !== "not-found" || request.file_list === undefined) return false;
    if (isOfSource) absent.push(path);
    return isOfSource || !absent.some((one) => isWithin(one, path) || isWithin(path, one));
  };
  const skipped = page.skipped
    .filter((one) => !isDifference(one))
    .map((one) => ({ ...one, message: `at the ${side}: ${one.message}` }));
  const next = {
    ...rest,
    pages: list.pages + 1,
    pieces: list.pieces + cut,
    bytes: list.bytes + sumOf(page),
    files: list.files + counted,
    ...skipThings(list, skipped),
    ...(absent.length === 0 ? {} : { absent }),
  };
  if (page.is_last && isOfSource) return { ...next, sourcePieces: next.pieces, failed: 0 };
  return {
    ...next,
    ...(list.worker === undefined ? {} : { worker: list.worker }),
    ...(last === undefined ? {} : { last }),
    isDone: page.is_last,
  };
}

function isWithin(directory: string, path: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

function isLister({ uid, phase, list }: Transfer, page: PlanPage): boolean {
  const isPresent = list.attempt === page.attempt && list.worker === page.worker_id;
  // The last page may come again when its answer was lost.
  const isRepeated = list.isDone && page.page < list.pages;
  return (
    isPresent &&
    phase === "active" &&
    (!list.isDone || isRepeated) &&
    page.lease_id === leaseIdOf(uid, "list", page.attempt)
  );
}

function sumOf({ entries }: PlanPage): number {
  return entries.reduce((sum, { type, size }) => sum + (type === "file" ? size : 0), 0);
}
