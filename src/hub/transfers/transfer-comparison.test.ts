import { expect, test } from "vitest";
import type { FakeClock } from "../../base/clock.fake.ts";
import type { SyncProgress } from "../../contract/transfer/sync-progress.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { openTransferHub } from "./open-transfer-hub.fake.ts";
import { createFakeStorage, createFakeWorker, type FakeWorker, fileEntry, hashFor } from "./transfer-world.fake.ts";

const DIRECTORY = fileEntry("", 0, { type: "directory" });

interface Side {
  readonly entries: readonly TransferEntry[];
  readonly hashOf?: (entry: TransferEntry) => string;
  readonly abilities?: readonly string[];
}

function begin(one: Side, other: Side) {
  const { hub, clock, store } = openTransferHub();
  const { ask } = hub;
  const target = createFakeStorage();
  const worker = (id: string, storage: { readonly id: string; readonly path: string }, { entries, ...side }: Side) =>
    createFakeWorker(id, {
      ask: () => ask,
      storages: [storage],
      source: entries,
      target,
      pageEntries: 2,
      ...side,
    });
  const workers = [
    worker("src-1", { id: "storage-in", path: "/in" }, one),
    worker("dst-1", { id: "storage-out", path: "/out" }, other),
  ];
  return {
    clock,
    ask,
    workers,
    submit: (more: object = {}) =>
      ask("POST", "/sync", {
        mode: "verify",
        request_id: "v",
        source_path: "/in/x",
        destination_path: "/out/x",
        ...more,
      }),
    /** Of the hub's own view. */
    progress: async (): Promise<SyncProgress> => {
      const [one] = (await ask("GET", "/workers/src-1/requests")) as SyncProgress[];
      if (one === undefined) throw new Error("src-1 works on nothing");
      return one;
    },
    record: async () => {
      const object = await store.objects.get("transfer", "v");
      return object?.body as
        | { phase: string; reason: string; uid: string; outcome?: Record<string, unknown> }
        | undefined;
    },
    pieces: async () => (await store.objects.list("transfer-piece", { limit: 100 })).items.length,
  };
}

/** Everybody works until it is over. What each did, in its order. */
async function work(
  { clock, workers, record }: ReturnType<typeof begin>,
  spoil: (result: Record<string, unknown>, worker: FakeWorker) => Record<string, unknown> = (result) => result,
): Promise<string[]> {
  const kinds: string[] = [];
  for (let turn = 0; turn < 100; turn++) {
    const phase = (await record())?.phase;
    if (phase === "completed" || phase === "failed") break;
    for (const worker of workers) {
      await worker.heartbeat();
      const assignment = await worker.poll();
      if (assignment === null) continue;
      kinds.push(`${worker.id} ${assignment.work.kind}`);
      const result = await worker.carryOut(assignment);
      if (result !== undefined) await worker.tell(spoil(result, worker));
    }
    await settle(clock);
  }
  return kinds;
}
const settle = (clock: FakeClock) => clock.advance(1000);

const tree = [
  DIRECTORY,
  fileEntry("a", 10),
  fileEntry("b", 300 * 1024 * 1024),
  fileEntry("c", 0, { type: "symlink", target: "a" }),
];

test("each side lists and hashes its own, the whole of each file, and nothing is written", async () => {
  const world = begin({ entries: tree }, { entries: tree });
  await world.submit();
  const kinds = await work(world);
  expect(new Set(kinds)).toEqual(new Set(["src-1 list", "src-1 hash", "dst-1 list", "dst-1 hash"]));
  const record = await world.record();
  expect(record).toMatchObject({ phase: "completed", reason: "no difference: 4 entries are equal" });
  expect(record?.outcome).toMatchObject({
    bytes: 2 * (10 + 300 * 1024 * 1024),
    files: 4,
    comparison: { differences: [] },
  });
  expect(record?.outcome).not.toHaveProperty("receipt");
  await world.clock.advance(30_000);
  expect(await world.pieces()).toBe(0);
});

test("what differs is told: by hash, by kind, and what one side alone has", async () => {
  const other = [DIRECTORY, fileEntry("a", 10), fileEntry("b", 300 * 1024 * 1024), fileEntry("d", 1)];
  const hashOf = ({ path }: TransferEntry) => hashFor(path === "b" ? "another" : `${path}@0+10`);
  const world = begin({ entries: tree }, { entries: other, hashOf });
  await world.submit();
  await work(world);
  expect((await world.record())?.outcome?.["comparison"]).toMatchObject({
    equal: 2,
    differing: 1,
    only_in_source: 1,
    only_in_destination: 1,
    differences: [
      { path: "b", differs: ["content"] },
      { path: "c", differs: ["only-in-source"] },
      { path: "d", differs: ["only-in-destination"] },
    ],
  });
});

test("what could not be read fails it with what it came to; tried again, all is looked at anew", async () => {
  const world = begin({ entries: tree }, { entries: tree });
  await world.submit();
  let isSpoilt = false;
  await work(world, (result, worker) => {
    const items = (result["items"] ?? []) as readonly { readonly path: string }[];
    if (worker.id !== "dst-1" || isSpoilt || !items.some(({ path }) => path === "a")) return result;
    isSpoilt = true;
    const failures = [{ path: "a", code: "denied", message: "not for this user" }];
    return { ...result, success: false, items: items.filter(({ path }) => path !== "a"), failures };
  });
  const failed = await world.record();
  expect(failed).toMatchObject({
    phase: "failed",
    reason: "1 thing could not be compared, the first: a: denied: not for this user",
    outcome: { comparison: { equal: 4, differing: 0 } },
  });
  await world.ask("POST", "/sync/v/retry");
  await work(world);
  expect(await world.record()).toMatchObject({ phase: "completed", reason: "no difference: 4 entries are equal" });
  expect((await world.record())?.uid).not.toBe(failed?.uid);
});

test("a name of the request is a difference where one side has it not, and trouble where neither has", async () => {
  const world = begin({ entries: [DIRECTORY, fileEntry("a", 10)] }, { entries: [DIRECTORY] });
  await world.submit({ file_list: ["a", "gone"] });
  const [source, destination] = world.workers;
  for (const [worker, entries, missing] of [
    [source, [DIRECTORY, fileEntry("a", 10)], ["gone"]],
    [destination, [DIRECTORY], ["a", "gone"]],
  ] as const) {
    if (worker === undefined) throw new Error("there is no such worker");
    for (const each of world.workers) await each.heartbeat();
    await settle(world.clock);
    const { lease_id, attempt, work: listing } = (await worker.poll()) ?? {};
    if (listing?.kind !== "list") throw new Error(`${worker.id} was given ${listing?.kind}`);
    const skipped = missing.map((path) => ({ path, code: "not-found", message: "it is not there" }));
    const page = { worker_id: worker.id, request_id: "v", lease_id, attempt, page: listing.next_page };
    await world.ask("POST", "/workers/plan", { ...page, entries, skipped, is_last: true });
    worker.held.clear();
  }
  await work(world);
  expect(await world.record()).toMatchObject({
    phase: "failed",
    outcome: {
      comparison: { differences: [{ path: "a", differs: ["only-in-source"] }] },
      failures: [{ path: "gone", code: "not-found", message: "at the destination: it is not there" }],
    },
  });
});

test("it waits with the reason while a worker is of a version that cannot", async () => {
  const world = begin({ entries: tree }, { entries: tree, abilities: [] });
  await world.submit();
  for (let turn = 0; turn < 4; turn++) {
    for (const worker of world.workers) {
      await worker.heartbeat();
      expect(await worker.poll()).toBeNull();
    }
    await settle(world.clock);
  }
  expect(await world.record()).toMatchObject({
    phase: "queued",
    reason: "dst-1 has /out/x, and its version cannot compare",
  });
});

test("cancelled, it is gone at once: there is nothing to remove, and what is told of it is late", async () => {
  const world = begin({ entries: tree }, { entries: tree });
  await world.submit();
  for (const worker of world.workers) await worker.heartbeat();
  await settle(world.clock);
  const [source] = world.workers;
  const listing = await source?.poll();
  expect(listing?.work.kind).toBe("list");
  expect((await world.progress()).mode).toBe("verify");
  expect(await world.ask("DELETE", "/sync/v")).toMatchObject({ is_confirmed: true });
  const page = { worker_id: "src-1", request_id: "v", lease_id: listing?.lease_id, attempt: 1, page: 0, entries: [] };
  await expect(world.ask("POST", "/workers/plan", { ...page, is_last: true })).rejects.toMatchObject({ code: "gone" });
});
