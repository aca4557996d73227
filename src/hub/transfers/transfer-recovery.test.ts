import { expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
import { AppError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import type { Assignment } from "../../contract/transfer/assignment.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { createMortalStore } from "../store/mortal-store.fake.ts";
import { everyItem } from "../store/page.ts";
import { NOW } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import { newCountedStore, openTransferHub } from "./open-transfer-hub.fake.ts";
import { TRANSFER_KIND, toTransfer } from "./transfer-record.ts";
import {
  type Ask,
  createFakeStorage,
  createFakeWorker,
  type FakeStorage,
  type FakeWorker,
  fileEntry,
  startTransferHub,
  type TransferHub,
} from "./transfer-world.fake.ts";

const MIB = 1024 * 1024;
const isLong = process.env["SLUICE_TEST_LONG"] === "1";
const MAX_HELD_PIECES = 32;
const REQUEST = { request_id: "r", source_path: "/in/x", destination_path: "/out/x", chunk_size_mb: 1 };

const tree = (): readonly TransferEntry[] => [
  fileEntry("", 0, { type: "directory" }),
  fileEntry("a", 2 * MIB + 5),
  fileEntry("b", 10),
  fileEntry("c", MIB),
  fileEntry("d", 0),
  fileEntry("e", 3, { type: "symlink", size: 0, target: "a" }),
  fileEntry("f", 700_000),
  fileEntry("g", 700_000),
];

interface World {
  readonly store: Store;
  readonly clock: FakeClock;
  readonly target: FakeStorage;
  readonly workers: FakeWorker[];
  hub: TransferHub;
  stopAll(): Promise<void>;
}

function world(store: Store, first: TransferHub, clock: FakeClock): World {
  const target = createFakeStorage();
  const made: World = {
    store,
    clock,
    target,
    workers: [],
    hub: first,
    stopAll: async () => made.hub.stop(),
  };
  const ask = (): Ask => (method, path, body) => made.hub.ask(method, path, body);
  const shared = { ask, source: tree(), target, pageEntries: 3 };
  for (const [id, storage] of [
    ["src-1", { id: "storage-in", path: "/in" }],
    ["dst-1", { id: "storage-out", path: "/out" }],
  ] as const) {
    made.workers.push(createFakeWorker(id, { ...shared, storages: [storage] }));
  }
  return made;
}

async function recordIn(store: Store) {
  const object = await store.objects.get(TRANSFER_KIND, "r");
  return object === undefined ? undefined : toTransfer(object);
}

/** Each range that was leased was taken exactly once, and everything is there. */
async function expectWhole({ store, target }: World): Promise<void> {
  const record = await recordIn(store);
  expect(record).toMatchObject({ phase: "completed", outcome: { files: 7, failuresTotal: 0 } });
  expect(record?.outcome?.bytes).toBe(tree().reduce((sum, { size }) => sum + size, 0));
  expect(target.isClosed).toBe(true);
  expect([...target.named].sort()).toEqual(
    tree()
      .map(({ path }) => path)
      .sort(),
  );
  for (const [range, times] of target.applied) expect(`${range} ${times > 1 ? times : "once"}`).toBe(`${range} once`);
}

/** Both sides list the same, and are told to be the same. */
async function expectCompared({ store, target }: World): Promise<void> {
  const record = await recordIn(store);
  expect(record).toMatchObject({
    phase: "completed",
    outcome: {
      files: 12,
      failuresTotal: 0,
      comparison: { equal: tree().length, differing: 0, only_in_source: 0, only_in_destination: 0 },
    },
  });
  expect(record?.outcome?.bytes).toBe(2 * tree().reduce((sum, { size }) => sum + size, 0));
  expect([target.isClosed, target.named.size]).toEqual([false, 0]);
}

const COPY = { request: REQUEST, expectEnd: expectWhole };
const COMPARISON = { request: { ...REQUEST, mode: "verify" }, expectEnd: expectCompared };
const KINDS = [
  ["copy", COPY],
  ["comparison", COMPARISON],
] as const;

const isExpected = (thrown: unknown) =>
  thrown instanceof AppError && ["not-found", "conflict", "gone", "store-unavailable"].includes(thrown.code);

test.each(KINDS)(
  "a hub that dies at any write of a %s is followed by one that loses nothing and takes nothing twice",
  async (_, { request, expectEnd }) => {
    let writesOfWholeRun = 0;
    const roots = new Set<string | undefined>();
    // Each run is as long as all that it writes: of the second form every third write is enough every day.
    for (let diesAt = 1; diesAt < 500; diesAt += request === REQUEST || isLong ? 1 : 3) {
      const clock = createFakeClock(NOW);
      const shared = newCountedStore();
      const mortal = createMortalStore(shared, diesAt);
      const w = world(shared, startTransferHub(mortal.store, clock), clock);
      let hasDied = false;
      const outlive = async <Answer>(act: () => Promise<Answer>): Promise<Answer | undefined> => {
        let outcome: { readonly value: Answer } | { readonly thrown: unknown } | undefined;
        act().then(
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
        if (outcome === undefined) return undefined;
        if ("value" in outcome) return outcome.value;
        if (isExpected(outcome.thrown)) return undefined;
        throw outcome.thrown;
      };
      const revive = async () => {
        if (hasDied || mortal.writes() < diesAt) return;
        hasDied = true;
        // It is stuck in that write, and does nothing more.
        void w.hub.stop();
        w.hub = startTransferHub(shared, clock, { hubId: "hub-2" });
        await clock.advance(0);
      };
      let untold: { readonly worker: FakeWorker; readonly result: Record<string, unknown> }[] = [];
      const isDone = async () => (await recordIn(shared))?.phase === "completed";
      for (let turn = 0; turn < 200 && !(await isDone()); turn++) {
        // Told until it is answered, as a client does.
        if ((await recordIn(shared)) === undefined) await outlive(() => w.hub.ask("POST", "/sync", request));
        await revive();
        for (const worker of w.workers) {
          await outlive(() => worker.heartbeat());
          await revive();
          const assignment = await outlive(() => worker.poll());
          await revive();
          if (assignment === undefined || assignment === null) continue;
          const result = await outlive(() => worker.carryOut(assignment));
          await revive();
          if (result !== undefined) untold.push({ worker, result });
          // It lets go of what it could not tell of, and the lease runs out.
          else worker.held.delete(assignment.lease_id);
        }
        const telling = untold;
        untold = [];
        for (const one of telling) {
          const status = await outlive(() => one.worker.tell(one.result));
          if (status === undefined) untold.push(one);
          await revive();
        }
        await clock.advance(3000);
        await revive();
      }
      try {
        await expectEnd(w);
      } catch (thrown) {
        throw new Error(`died at write ${diesAt}: ${String(thrown)}`, { cause: thrown });
      }
      const outcome = (await recordIn(shared))?.outcome;
      roots.add(outcome?.rootHash ?? outcome?.comparison?.source_root_hash);
      writesOfWholeRun = Math.max(writesOfWholeRun, mortal.writes());
      if (hasDied) {
        await w.hub.stop();
        continue;
      }
      break;
    }
    // What the first run wrote has all been a place to die at, and made no difference to what came of it.
    expect(writesOfWholeRun).toBeGreaterThan(request === REQUEST ? 20 : 14);
    expect(roots.size).toBe(1);
  },
  60_000,
);

/** Workers that die, sleep past their leases, tell late and twice; hubs that are killed: whatever the order, each unit counts once. */
async function simulate(seed: number, turns: number, { request, expectEnd }: typeof COPY): Promise<void> {
  const random = seededRandom(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const clock = createFakeClock(NOW);
  const store = newCountedStore();
  const hubs: TransferHub[] = [];
  const startHub = () => {
    const hub = startTransferHub(store, clock, { hubId: `hub-${hubs.length}`, manyHubs: true });
    hubs.push(hub);
    return hub;
  };
  const w = world(store, startHub(), clock);
  const second = startHub();
  const source = {
    ask: () => (random() < 0.5 ? w.hub.ask : second.ask),
    source: tree(),
    target: w.target,
    pageEntries: 3,
  };
  w.workers.length = 0;
  w.workers.push(createFakeWorker("src-1", { ...source, storages: [{ id: "storage-in", path: "/in" }] }));
  w.workers.push(createFakeWorker("dst-1", { ...source, storages: [{ id: "storage-out", path: "/out" }] }));
  const drawer: { readonly worker: FakeWorker; readonly result: Record<string, unknown> }[] = [];
  const asleep: { readonly worker: FakeWorker; readonly assignment: Assignment }[] = [];
  const quietly = async <Answer>(act: () => Promise<Answer>): Promise<Answer | undefined> => {
    try {
      return await act();
    } catch (thrown) {
      if (isExpected(thrown)) return undefined;
      throw thrown;
    }
  };
  await clock.advance(0);
  await w.hub.ask("POST", "/sync", request);
  const isDone = async () => (await recordIn(store))?.phase === "completed";
  for (let turn = 0; turn < turns && !(await isDone()); turn++) {
    // Late in the run everybody behaves, so that it ends.
    const isCalm = turn > turns / 2;
    for (const worker of w.workers) {
      if (isCalm || below(4) > 0) await quietly(() => worker.heartbeat());
      const assignment = await quietly(() => worker.poll());
      if (assignment === undefined || assignment === null) continue;
      const fate = isCalm ? 0 : below(6);
      if (fate === 1) {
        // It dies with it.
        worker.held.clear();
        continue;
      }
      if (fate === 2) {
        worker.held.delete(assignment.lease_id);
        asleep.push({ worker, assignment });
        continue;
      }
      const result = await quietly(() => worker.carryOut(assignment));
      if (result === undefined) continue;
      if (fate === 3) drawer.push({ worker, result });
      else {
        await quietly(() => worker.tell(result));
        if (fate === 4) expect(await quietly(() => worker.tell(result))).not.toBe("ack");
      }
    }
    if (below(3) === 0) {
      const zombie = asleep.shift();
      const result = zombie === undefined ? undefined : await quietly(() => zombie.worker.carryOut(zombie.assignment));
      if (zombie !== undefined && result !== undefined) await quietly(() => zombie.worker.tell(result));
    }
    const late = below(2) === 0 ? drawer.shift() : undefined;
    if (late !== undefined) await quietly(() => late.worker.tell(late.result));
    if (!isCalm && below(12) === 0) {
      await w.hub.stop();
      w.hub = startHub();
    }
    await clock.advance(below(5) === 0 ? 12_000 : 1000);
  }
  for (const { worker, result } of drawer) expect(await quietly(() => worker.tell(result))).not.toBe("ack");
  try {
    await expectEnd(w);
  } catch (thrown) {
    throw new Error(`seed ${seed}: ${String(thrown)}`, { cause: thrown });
  } finally {
    for (const hub of hubs) await hub.stop();
  }
}

test(
  "whatever dies, sleeps and repeats itself, through two hubs: each unit is taken once",
  async () => {
    for (let seed = 1; seed <= (isLong ? 400 : 8); seed++) await simulate(seed, 160, COPY);
    for (let seed = 1; seed <= (isLong ? 400 : 4); seed++) await simulate(seed, 160, COMPARISON);
  },
  isLong ? 900_000 : 60_000,
);

test(
  "a million files are planned as a stream: what the hub keeps of a piece that it is not at is its sum",
  async () => {
    const store = newCountedStore();
    const reads: string[] = [];
    const { objects } = store;
    const counted: Store = {
      ...store,
      objects: {
        ...objects,
        get: (kind, id) => {
          if (kind === "transfer-piece") reads.push(id);
          return objects.get(kind, id);
        },
      },
    };
    const { hub, clock } = openTransferHub({ store: counted });
    const perPage = isLong ? 1000 : 100;
    const files = isLong ? 1_000_000 : 20_000;
    const target = createFakeStorage();
    const shared = { ask: () => hub.ask, source: [], target };
    const lister = createFakeWorker("src-1", { ...shared, storages: [{ id: "storage-in", path: "/in" }] });
    const copier = createFakeWorker("dst-1", { ...shared, storages: [{ id: "storage-out", path: "/out" }] });
    await lister.heartbeat();
    await copier.heartbeat();
    await hub.ask("POST", "/sync", { ...REQUEST, chunk_size_mb: 64 });
    await clock.advance(3000);
    const { lease_id, attempt } = (await lister.poll()) ?? { lease_id: "", attempt: 0 };
    const pages = files / perPage;
    for (let page = 0; page < pages; page++) {
      const entries = Array.from({ length: perPage }, (_, at) =>
        fileEntry(`${String(page).padStart(4, "0")}/${at}`, 100),
      );
      const body = {
        worker_id: "src-1",
        request_id: "r",
        lease_id,
        attempt,
        page,
        entries,
        is_last: page === pages - 1,
      };
      expect(await hub.ask("POST", "/workers/plan", body)).toEqual({ status: "ack" });
      // What was sent again because its answer was lost changes nothing.
      if (page === 1) expect(await hub.ask("POST", "/workers/plan", body)).toEqual({ status: "duplicate" });
      if (page !== 2) continue;
      // Copying begins before the listing ends.
      await copier.heartbeat();
      const begun = await copier.poll();
      expect(begun?.work).toMatchObject({ kind: "copy", unit: "0.0" });
    }
    let kept = 0;
    for await (const _ of everyItem((page) => store.objects.list("transfer-piece", page), 50)) kept++;
    expect(kept).toBe(pages);
    expect(await recordIn(store)).toMatchObject({ list: { files, bytes: files * 100, pieces: pages, isDone: true } });
    // It holds no more pieces than it is at: the others it has to read.
    reads.length = 0;
    for (let page = 0; page < pages; page++) {
      const { entries } = (await hub.ask("GET", `/workers/plan/r?page=${page}`)) as { entries: TransferEntry[] };
      expect(entries).toHaveLength(perPage);
    }
    expect(reads.length).toBeGreaterThanOrEqual(pages - MAX_HELD_PIECES);
    // Of several pages as many as there are.
    expect(await hub.ask("GET", `/workers/plan/r?page=${pages - 2}&pages=16`)).toMatchObject({
      page: pages - 2,
      pages: 2,
      entries: { length: 2 * perPage },
    });
    expect(await hub.ask("GET", "/workers/plan/r?page=0&pages=3&only=directory")).toEqual({
      page: 0,
      pages: 3,
      entries: [],
    });
  },
  isLong ? 900_000 : 60_000,
);
