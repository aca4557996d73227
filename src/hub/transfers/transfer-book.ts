import { doneOnce } from "../../base/done-once.ts";
import { AppError } from "../../base/errors.ts";
import { createTurns } from "../../base/turns.ts";
import type { HubContext } from "../hub-context.ts";
import { everyItem } from "../store/page.ts";
import type { WriteContext } from "../store/write-context.ts";
import {
  recordOf,
  TRANSFER_GRAVE_KIND,
  TRANSFER_KIND,
  type Transfer,
  type TransferRecord,
  toTransfer,
} from "./transfer-record.ts";

/** All transfers. What is held here is what was last read or written; each change is decided on what the store has. */
export interface TransferBook {
  /** Reads them once; later calls answer at once. Rejects with the store's error. */
  ready(): Promise<void>;
  all(): readonly Transfer[];
  known(id: string): Transfer | undefined;
  ofUid(uid: string): Transfer | undefined;
  /** Of the store. */
  get(id: string): Promise<Transfer | undefined>;
  /** `conflict`: there is one with this id. */
  create(id: string, record: TransferRecord, context: WriteContext): Promise<Transfer>;
  /** `decide` gives what should be; `undefined`: nothing changes. Answers what is then there. */
  change(
    id: string,
    decide: (transfer: Transfer) => TransferRecord | undefined,
    context?: Omit<WriteContext, "nowMs">,
  ): Promise<Transfer | undefined>;
  /** It is gone, and what is told of it later is known to be late. */
  remove(transfer: Transfer, context?: Omit<WriteContext, "nowMs">): Promise<void>;
  isBuried(id: string): Promise<boolean>;
  /** Reads what other hubs have changed. */
  refresh(): Promise<void>;
  trimGraves(): Promise<void>;
  /** Something may be another than before. Gives what ends it. */
  onChange(listener: () => void): () => void;
}

const ATTEMPTS = 16;
const GRAVES_KEPT_MS = 24 * 3_600_000;

export function createTransferBook({ store, clock }: Pick<HubContext, "store" | "clock">): TransferBook {
  const known = new Map<string, Transfer>();
  const inTurn = createTurns();
  const listeners = new Set<() => void>();

  const tell = () => {
    for (const listener of listeners) listener();
  };
  const hold = (transfer: Transfer): Transfer => {
    known.set(transfer.id, transfer);
    tell();
    return transfer;
  };
  const read = async (id: string): Promise<Transfer | undefined> => {
    const object = await store.objects.get(TRANSFER_KIND, id);
    return object === undefined ? undefined : toTransfer(object);
  };

  const refresh = async () => {
    const before = new Map(known);
    const found = new Set<string>();
    for await (const object of everyItem((page) => store.objects.list(TRANSFER_KIND, page), 100)) {
      const transfer = toTransfer(object);
      if (transfer === undefined) continue;
      found.add(transfer.id);
      const held = known.get(transfer.id);
      // What was written here meanwhile is newer; what was removed here meanwhile is not taken up again.
      if (held === undefined ? !before.has(transfer.id) : isNewer(transfer, held)) known.set(transfer.id, transfer);
    }
    for (const [id, held] of before) if (!found.has(id) && known.get(id) === held) known.delete(id);
    tell();
  };

  return {
    ready: doneOnce(refresh),
    all: () => [...known.values()],
    known: (id) => known.get(id),
    ofUid: (uid) => {
      for (const transfer of known.values()) if (transfer.uid === uid) return transfer;
      return undefined;
    },
    get: read,
    create: async (id, record, context) => {
      const object = await store.objects.put(
        { kind: TRANSFER_KIND, id, body: record },
        { ...context, expectedRevision: 0 },
      );
      const made = toTransfer(object);
      if (made === undefined) throw new AppError("internal", `transfer ${id} was written in a form of its own`);
      // A repeated call is told what the first one has made.
      return made.uid === record.uid ? hold(made) : ((await read(made.id)) ?? made);
    },
    change: (id, decide, context) =>
      inTurn(id, async () => {
        for (let attempt = 1; ; attempt++) {
          const held = await read(id);
          if (held === undefined) {
            if (known.delete(id)) tell();
            return undefined;
          }
          const body = decide(held);
          if (body === undefined) return hold(held);
          try {
            const object = await store.objects.put(
              { kind: TRANSFER_KIND, id, body },
              { ...context, nowMs: clock.wallMs(), expectedRevision: held.revision },
            );
            return hold(toTransfer(object) ?? held);
          } catch (thrown) {
            if (!isRace(thrown) || attempt === ATTEMPTS) throw thrown;
          }
        }
      }),
    remove: (transfer, context) =>
      inTurn(transfer.id, async () => {
        const nowMs = clock.wallMs();
        await store.objects.put(
          { kind: TRANSFER_GRAVE_KIND, id: transfer.id, body: recordOf(transfer).uid },
          { nowMs },
        );
        try {
          await store.objects.delete(TRANSFER_KIND, transfer.id, {
            ...context,
            nowMs,
            expectedRevision: transfer.revision,
          });
        } catch (thrown) {
          // Another hub has removed it.
          if (!isRace(thrown) || (await read(transfer.id))?.uid === transfer.uid) throw thrown;
        }
        known.delete(transfer.id);
        tell();
      }),
    isBuried: async (id) => (await store.objects.get(TRANSFER_GRAVE_KIND, id)) !== undefined,
    refresh,
    trimGraves: async () => {
      const nowMs = clock.wallMs();
      for await (const { id, updatedMs } of everyItem((page) => store.objects.list(TRANSFER_GRAVE_KIND, page), 500)) {
        if (nowMs - updatedMs > GRAVES_KEPT_MS) await store.objects.delete(TRANSFER_GRAVE_KIND, id, { nowMs });
      }
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** Revisions go on after a deletion, but not for ever: another one of the same name is newer when it is younger. */
function isNewer(one: Transfer, other: Transfer): boolean {
  return one.uid === other.uid ? one.revision > other.revision : one.createdMs >= other.createdMs;
}

export function isRace(thrown: unknown): boolean {
  return thrown instanceof AppError && (thrown.code === "conflict" || thrown.code === "not-found");
}
