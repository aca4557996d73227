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
      const transfer = await requireTransfer(hall, page.request_id, page.lease_id);
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
      await book.change(transfer.id, (fresh) => {
        isTaken = isLister(fresh, page) && fresh.list.pages === page.page;
        if (!isTaken) return undefined;
        const { list } = fresh;
        const last = page.entries.at(-1)?.path ?? list.last;
        const counted = page.entries.filter(isCounted);
        return {
          ...fresh,
          list: {
            ...list,
            pages: list.pages + 1,
            pieces: list.pieces + cut.length,
            bytes: list.bytes + (list.round > 0 ? 0 : sumOf(page)),
            files: list.files + (list.round > 0 ? 0 : counted.length),
            isDone: page.is_last,
            ...skipThings(list, page.skipped),
            ...(last === undefined ? {} : { last }),
          },
        };
      });
      if (page.is_last && isTaken) watch.over(page.lease_id);
      mark(transfer.id);
      wake.ring();
      return { status: isTaken ? "ack" : "stale" };
    });
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
