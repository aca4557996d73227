import { describe, expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
import { AppError } from "../../base/errors.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import { createMortalStore } from "../store/mortal-store.fake.ts";
import { everyItem } from "../store/page.ts";
import { NOW } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { TRANSFER_KIND, type Transfer, toTransfer } from "./transfer-record.ts";
import {
  createFakeStorage,
  createFakeWorker,
  type FakeStorage,
  type FakeWorker,
  fileEntry,
  startTransferHub,
  type TransferHub,
} from "./transfer-world.fake.ts";

const MIB = 1024 * 1024;
const REQUEST = { request_id: "r", source_path: "/in/x", destination_path: "/out/x", chunk_size_mb: 1 };
const TREE = [
  fileEntry("", 0, { type: "directory" }),
  fileEntry("a", 2 * MIB + 5),
  fileEntry("b", 10),
  fileEntry("c", 700_000),
];
/** What a transfer writes beside its record. */
const PARTS = ["transfer-piece", "transfer-units", "transfer-hashes"];
let ids = 0;

interface World {
  readonly store: Store;
  readonly clock: FakeClock;
  readonly target: FakeStorage;
  readonly source: FakeWorker;
  readonly to: FakeWorker;
  hub: TransferHub;
}

async function open(): Promise<World> {
  const clock = createFakeClock(NOW);
  const store = createMemoryStore({ newId: () => `id-${++ids}` });
  const target = createFakeStorage();
  const shared = { ask: () => made.hub.ask, source: TREE, target };
  const worker = (id: string, path: string) =>
    createFakeWorker(id, { ...shared, storages: [{ id: `storage-${path.slice(1)}`, path }] });
  const made: World = {
    store,
    clock,
    target,
    source: worker("src-1", "/in"),
    to: worker("dst-1", "/out"),
    hub: startTransferHub(store, clock),
  };
  for (const one of [made.source, made.to]) await one.heartbeat();
  await made.hub.ask("POST", "/sync", REQUEST);
  await clock.advance(3000);
  return made;
}

const recordIn = async ({ store }: World): Promise<Transfer | undefined> => {
  const object = await store.objects.get(TRANSFER_KIND, "r");
  return object === undefined ? undefined : toTransfer(object);
};

async function partsIn({ store }: World): Promise<readonly string[]> {
  const found: string[] = [];
  for (const kind of PARTS) {
    for await (const { id } of everyItem((page) => store.objects.list(kind, page), 50)) found.push(`${kind} ${id}`);
  }
  return found;
}

/** One round of both workers, through whatever hub there is. */
async function goOn(w: World, through: <Answer>(act: () => Promise<Answer>) => Promise<Answer | undefined>) {
  for (const worker of [w.source, w.to]) {
    await through(() => worker.heartbeat());
    const given = await through(() => worker.poll());
    if (given === undefined || given === null) continue;
    const result = await through(() => worker.carryOut(given));
    if (result !== undefined) await through(() => worker.tell(result));
    // What could not be told is given out again when its lease is over.
    worker.held.delete(given.lease_id);
  }
}

const safely = async <Answer>(act: () => Promise<Answer>): Promise<Answer | undefined> => {
  try {
    return await act();
  } catch (thrown) {
    if (thrown instanceof AppError && ["not-found", "conflict", "gone"].includes(thrown.code)) return undefined;
    throw thrown;
  }
};

/** Goes on until it is so. */
async function until(w: World, isSo: (record: Transfer | undefined) => boolean, through = safely): Promise<void> {
  for (let turn = 0; turn < 100 && !isSo(await recordIn(w)); turn++) {
    await goOn(w, through);
    await w.clock.advance(3000);
  }
}

interface Scenario {
  /** By a hub that lives. */
  readonly before: (w: World) => Promise<void>;
  /** Asked until it is answered. */
  readonly ask: readonly [method: string, path: string];
  /** Said instead of an answer by who has done it already. */
  readonly isDone: string;
  readonly isOver: (record: Transfer | undefined) => boolean;
  readonly after: (w: World) => Promise<void>;
}

const lateResult = { request_id: "r", worker_id: "dst-1", success: true };
const isGone = (record: Transfer | undefined) => record === undefined;
const SCENARIOS: Readonly<Record<string, Scenario>> = {
  "cancelled in the middle": {
    before: (w) => until(w, (record) => (record?.list.isDone ?? false) && w.target.fence.size > 1),
    ask: ["DELETE", "/sync/r"],
    isDone: "not-found",
    isOver: isGone,
    after: async (w) => {
      expect(w.target.isDiscarded).toBe(true);
      await expect(w.hub.ask("POST", "/workers/result", lateResult)).rejects.toMatchObject({ code: "gone" });
    },
  },
  "forgotten when it is over": {
    before: (w) => until(w, (record) => record?.phase === "completed"),
    ask: ["DELETE", "/sync/r"],
    isDone: "not-found",
    isOver: isGone,
    after: (w) => expect(w.hub.ask("POST", "/workers/result", lateResult)).rejects.toMatchObject({ code: "gone" }),
  },
  "tried again": {
    before: async (w) => {
      let isTold = false;
      const failing: typeof safely = async (act) => {
        const answer = await safely(act);
        // Of the first files that are brought it says that they are gone.
        const told = answer as { items?: readonly { path: string }[] } | null | undefined;
        if (isTold || told?.items === undefined) return answer;
        isTold = true;
        const failures = told.items.map(({ path }) => ({ path, code: "not-found", message: "it is gone" }));
        return { ...told, success: false, items: [], failures } as typeof answer;
      };
      await until(w, (record) => record?.phase === "failed", failing);
      expect((await recordIn(w))?.phase).toBe("failed");
    },
    ask: ["POST", "/sync/r/retry"],
    isDone: "conflict",
    isOver: (record) => record?.phase === "completed" && record.isSwept,
    after: async (w) => {
      expect((await recordIn(w))?.outcome).toMatchObject({ files: 3, failuresTotal: 0 });
      expect([...w.target.named].sort()).toEqual(TREE.map(({ path }) => path).sort());
    },
  },
};

describe("a hub that dies at any write", () => {
  test.each(Object.entries(SCENARIOS))(
    "of a transfer that is %s is followed by one that does what was answered, and leaves nothing",
    async (_, { before, ask: [method, path], isDone, isOver, after }) => {
      let died = 0;
      for (let diesAt = 1; diesAt < 200; diesAt++) {
        const w = await open();
        await before(w);
        await w.hub.stop();
        const mortal = createMortalStore(w.store, diesAt);
        w.hub = startTransferHub(mortal.store, w.clock, { hubId: "hub-2" });
        let hasDied = false;
        const revive = async () => {
          if (hasDied || mortal.writes() < diesAt) return;
          hasDied = true;
          // It is stuck in that write.
          void w.hub.stop();
          w.hub = startTransferHub(w.store, w.clock, { hubId: "hub-3" });
          await w.clock.advance(0);
        };
        /** Nobody is answered by who is dead. */
        const outlive = async <Answer>(act: () => Promise<Answer>): Promise<Answer | undefined> => {
          let outcome: { readonly value: Answer | undefined } | { readonly thrown: unknown } | undefined;
          safely(act).then(
            (value) => {
              outcome = { value };
            },
            (thrown: unknown) => {
              outcome = { thrown };
            },
          );
          while (outcome === undefined && (hasDied || mortal.writes() < diesAt)) {
            await new Promise((resolve) => setImmediate(resolve));
          }
          await revive();
          if (outcome !== undefined && "thrown" in outcome) throw outcome.thrown;
          return outcome?.value;
        };
        await w.clock.advance(0);
        let isAnswered = false;
        for (let turn = 0; turn < 5 && !isAnswered; turn++) {
          const answer = await outlive(() =>
            w.hub.ask(method, path).catch((thrown: unknown) => {
              if (thrown instanceof AppError && thrown.code === isDone) return "it is done";
              throw thrown;
            }),
          );
          isAnswered = answer !== undefined;
        }
        expect(isAnswered).toBe(true);
        for (let turn = 0; turn < 100 && !isOver(await recordIn(w)); turn++) {
          await goOn(w, outlive);
          await w.clock.advance(3000);
          await revive();
        }
        const where = `died at write ${diesAt}`;
        expect(isOver(await recordIn(w)), where).toBe(true);
        expect(await partsIn(w), where).toEqual([]);
        await after(w);
        await w.hub.stop();
        if (!hasDied) break;
        died += 1;
      }
      expect(died).toBeGreaterThan(1);
    },
    60_000,
  );
});
