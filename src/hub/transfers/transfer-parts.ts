import type { Service } from "../../base/service.ts";
import { createWake } from "../../base/wake.ts";
import { SYNC_STATES, type SyncState } from "../../contract/transfer/sync-progress.ts";
import type { Route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import { createLeaseDesk } from "./lease-desk.ts";
import { createLeaseWatch } from "./lease-watch.ts";
import { createPieceBook } from "./piece-book.ts";
import { createSegmentRoute } from "./segment-routes.ts";
import { createSenderWatch } from "./sender-watch.ts";
import { createServeBook } from "./serve-book.ts";
import { createSyncRoutes } from "./sync-routes.ts";
import { createTransferBook } from "./transfer-book.ts";
import { createTransferDesk } from "./transfer-desk.ts";
import { createHall, type TransferHall } from "./transfer-hall.ts";
import { createTransferKeeper } from "./transfer-keeper.ts";
import { createTransferView, stateOf } from "./transfer-view.ts";
import { createWorkerBook } from "./worker-book.ts";
import { createWorkerRoutes } from "./worker-routes.ts";

/** Everything that a hub does with transfers. */
export interface TransferParts {
  readonly routes: readonly Route[];
  readonly service: Service;
  readonly figures: TransferFigures;
}

export interface TransferFigures {
  readonly states: () => Readonly<Record<SyncState, number>>;
  readonly workers: () => Readonly<Record<"active" | "inactive", number>>;
}

export function createTransferParts(
  options: { readonly manyHubs: boolean },
  deps: { readonly context: HubContext } & Pick<TransferHall, "keys" | "routers">,
): TransferParts {
  const { context, keys, routers } = deps;
  const { clock, log, newSecret } = context;
  const workers = createWorkerBook(context);
  const bootOf = (worker: string) => workers.get(worker)?.heartbeat.boot_id;
  const keeper = createTransferKeeper(options, context, () => hall);
  const hall: TransferHall = createHall({
    clock,
    log,
    newSecret,
    keys,
    routers,
    book: createTransferBook(context),
    pieces: createPieceBook(context),
    workers,
    serves: createServeBook(context),
    watch: createLeaseWatch(context, bootOf),
    senders: createSenderWatch({
      bootOf,
      isHeard: (id) => {
        const worker = workers.get(id);
        return worker !== undefined && workers.isActive(worker);
      },
    }),
    wake: createWake(context),
    resultDurability: options.manyHubs ? "durable" : "relaxed",
    mark: keeper.mark,
  });
  const view = createTransferView(hall);
  const desk = createTransferDesk(hall);
  return {
    routes: [
      ...createSyncRoutes({ hall, desk, view }),
      createSegmentRoute({ hall, desk, store: context.store }),
      ...createWorkerRoutes({ hall, desk: createLeaseDesk(hall), view }),
    ],
    service: keeper,
    figures: {
      states: () => {
        const counts = Object.fromEntries(SYNC_STATES.map((state) => [state, 0])) as Record<SyncState, number>;
        for (const transfer of hall.book.all()) counts[stateOf(transfer)]++;
        return counts;
      },
      workers: () => {
        const active = hall.workers.all().filter(hall.workers.isActive).length;
        return { active, inactive: hall.workers.all().length - active };
      },
    },
  };
}
