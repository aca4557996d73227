import { doneOnce } from "../../base/done-once.ts";
import { createTurns } from "../../base/turns.ts";
import type { WorkerHeartbeat } from "../../contract/transfer/worker-heartbeat.ts";
import type { HubContext } from "../hub-context.ts";
import { everyItem } from "../store/page.ts";
import { isRace } from "./transfer-book.ts";
import { toWorker, WORKER_KIND, type Worker, type WorkerRecord } from "./worker-record.ts";

/** All workers that were heard, through whichever hub. */
export interface WorkerBook {
  ready(): Promise<void>;
  all(): readonly Worker[];
  get(id: string): Worker | undefined;
  /** Heard lately, by this hub's monotonic clock. */
  isActive(worker: Worker): boolean;
  /** And not kept apart. */
  mayWork(worker: Worker): boolean;
  /**
   * `late`: a later one of the same process was heard, and this one is passed over; `replaced`: so was a later process of this worker,
   * and whoever sends this has nothing any more.
   */
  heard(heartbeat: WorkerHeartbeat): Promise<"news" | "late" | "replaced">;
  /** One of its leases came to nothing. `isFast`: at once, as where a disk is gone. */
  failed(id: string, cause: { readonly text: string; readonly isFast: boolean }): Promise<void>;
  succeeded(id: string): Promise<void>;
  refresh(): Promise<void>;
  /** Forgets those that were not heard for long. */
  trim(): Promise<void>;
}

/** After the last heartbeat. */
export const WORKER_SILENT_MS = { full: 15_000, plain: 60_000 } as const;
const FAILURES_IN_A_ROW = 3;
const QUARANTINE_MS = { first: 30_000, most: 10 * 60_000 } as const;
const FORGOTTEN_MS = 7 * 24 * 3_600_000;
/** What a heartbeat says again is written so often, for the other hubs to know that it is there. */
const SAME_AGAIN_MS = 4000;
const ATTEMPTS = 16;

export function createWorkerBook({ store, clock }: Pick<HubContext, "store" | "clock">): WorkerBook {
  const known = new Map<string, Worker>();
  const heardAtMs = new Map<string, number>();
  const writtenAtMs = new Map<string, number>();
  const failures = new Map<string, number>();
  /** Of each worker the process before the present one. */
  const replaced = new Map<string, string>();
  const inTurn = createTurns();

  const hold = (worker: Worker) => {
    if (known.get(worker.id)?.revision !== worker.revision) heardAtMs.set(worker.id, clock.monotonicMs());
    known.set(worker.id, worker);
  };

  const refresh = async () => {
    const found = new Set<string>();
    const before = [...known.keys()];
    for await (const object of everyItem((page) => store.objects.list(WORKER_KIND, page), 200)) {
      const worker = toWorker(object);
      if (worker === undefined) continue;
      found.add(worker.id);
      if ((known.get(worker.id)?.revision ?? 0) < worker.revision) hold(worker);
    }
    for (const id of before) if (!found.has(id)) known.delete(id);
  };

  const edit = (id: string, decide: (before: Worker | undefined) => WorkerRecord | undefined) =>
    inTurn(id, async () => {
      for (let attempt = 1; ; attempt++) {
        const object = await store.objects.get(WORKER_KIND, id);
        const before = object === undefined ? undefined : toWorker(object);
        const body = decide(before);
        if (body === undefined) return;
        try {
          const written = await store.objects.put(
            { kind: WORKER_KIND, id, body },
            { nowMs: clock.wallMs(), expectedRevision: object?.revision ?? 0 },
          );
          const worker = toWorker(written);
          if (worker !== undefined) hold(worker);
          return;
        } catch (thrown) {
          if (!isRace(thrown) || attempt === ATTEMPTS) throw thrown;
        }
      }
    });

  const isActive = (worker: Worker) => {
    const silentMs = worker.heartbeat.storages === undefined ? WORKER_SILENT_MS.plain : WORKER_SILENT_MS.full;
    const heardMs = heardAtMs.get(worker.id);
    return heardMs !== undefined && clock.monotonicMs() - heardMs <= silentMs && worker.heartbeat.status !== "ERROR";
  };

  const isApart = (worker: Worker | undefined) =>
    worker?.quarantine !== undefined && !isServed(worker.quarantine.untilMs - clock.wallMs());

  return {
    ready: doneOnce(refresh),
    all: () => [...known.values()],
    get: (id) => known.get(id),
    isActive,
    mayWork: (worker) => isActive(worker) && !isApart(worker),
    heard: async (heartbeat) => {
      const id = heartbeat.worker_id;
      const before = known.get(id);
      const { boot_id: boot } = heartbeat;
      if (boot !== undefined && replaced.get(id) === boot) return "replaced";
      if (before !== undefined && isOlder(heartbeat, before.heartbeat)) return "late";
      const isSoon = clock.monotonicMs() - (writtenAtMs.get(id) ?? Number.NEGATIVE_INFINITY) < SAME_AGAIN_MS;
      if (before !== undefined && isSoon && isSame(heartbeat, before.heartbeat)) {
        known.set(id, { ...before, heartbeat, heardMs: clock.wallMs() });
        heardAtMs.set(id, clock.monotonicMs());
        return "news";
      }
      const heardMs = clock.wallMs();
      await edit(id, (held) => {
        const kept = held?.quarantine;
        return { heartbeat, heardMs, ...(kept === undefined ? {} : { quarantine: kept }) };
      });
      heardAtMs.set(id, clock.monotonicMs());
      writtenAtMs.set(id, clock.monotonicMs());
      const old = before?.heartbeat.boot_id;
      if (old !== undefined && old !== boot) replaced.set(id, old);
      return "news";
    },
    failed: async (id, { text, isFast }) => {
      // It was given this before: however much it held when its disk went, it is kept apart for that once.
      if (isApart(known.get(id))) return;
      const count = isFast ? (failures.get(id) ?? 0) + 1 : 0;
      failures.set(id, count);
      if (count < FAILURES_IN_A_ROW) return;
      failures.set(id, 0);
      await edit(id, (held) => {
        if (held === undefined || isApart(held)) return undefined;
        const times = (held.quarantine?.times ?? 0) + 1;
        const untilMs = clock.wallMs() + Math.min(QUARANTINE_MS.most, QUARANTINE_MS.first * 2 ** (times - 1));
        const { heartbeat, heardMs } = held;
        return { heartbeat, heardMs, quarantine: { untilMs, times, cause: text.slice(0, 300) } };
      });
    },
    succeeded: async (id) => {
      failures.delete(id);
      if (known.get(id)?.quarantine === undefined) return;
      await edit(id, (held) => (held === undefined ? undefined : { heartbeat: held.heartbeat, heardMs: held.heardMs }));
    },
    refresh,
    trim: async () => {
      const nowMs = clock.wallMs();
      for (const worker of [...known.values()]) {
        if (nowMs - worker.heardMs < FORGOTTEN_MS || isActive(worker)) continue;
        await store.objects.delete(WORKER_KIND, worker.id, { nowMs });
        known.delete(worker.id);
        replaced.delete(worker.id);
      }
    },
  };
}

/** A clock that was set back keeps nobody apart for longer than was meant. */
function isServed(leftMs: number): boolean {
  return leftMs <= 0 || leftMs > QUARANTINE_MS.most;
}

function isOlder(one: WorkerHeartbeat, other: WorkerHeartbeat): boolean {
  return one.boot_id !== undefined && one.boot_id === other.boot_id && (one.sequence ?? 0) < (other.sequence ?? 0);
}

/** But for what changes all the time, and for leases, which are alive by being heard. */
function isSame(one: WorkerHeartbeat, other: WorkerHeartbeat): boolean {
  const steady = ({ timestamp: _t, sequence: _s, leases: _l, storages, ...rest }: WorkerHeartbeat) =>
    JSON.stringify([rest, storages?.map(({ free_bytes: _f, ...storage }) => storage)]);
  return steady(one) === steady(other);
}
