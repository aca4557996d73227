import { afterEach, describe, expect, test } from "vitest";
import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
import { AppError } from "../../base/errors.ts";
import type { Assignment } from "../../contract/transfer/assignment.ts";
import type { SyncProgress } from "../../contract/transfer/sync-progress.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import { NOW } from "../store/store.fake.ts";
import type { Store } from "../store/store.ts";
import {
  createFakeStorage,
  createFakeWorker,
  type FakeStorage,
  type FakeWorker,
  fileEntry,
  startTransferHub,
  type TransferHub,
} from "./transfer-world.fake.ts";

let ids = 0;
let hub: TransferHub;
let clock: FakeClock;
let store: Store;
afterEach(() => hub.stop());

const begin = () => {
  clock = createFakeClock(NOW);
  store = createMemoryStore({ newId: () => `id-${++ids}` });
  hub = startTransferHub(store, clock);
};
const files = (count: number, bytes = 10): TransferEntry[] => [
  fileEntry("", 0, { type: "directory" }),
  ...Array.from({ length: count }, (_, at) => fileEntry(`f${String(at).padStart(3, "0")}`, bytes)),
];
const submit = (id: string, more: object = {}) =>
  hub.ask("POST", "/sync", {
    request_id: id,
    source_path: `/in/${id}`,
    destination_path: `/out/${id}`,
    chunk_size_mb: 1,
    ...more,
  });
const look = async (id: string): Promise<SyncProgress> => {
  const all = (await hub.ask("GET", "/sync")) as readonly SyncProgress[];
  const found = all.find(({ request_id }) => request_id === id);
  if (found === undefined) throw new AppError("not-found", id);
  return found;
};

interface Made {
  readonly source: FakeWorker;
  readonly target: FakeStorage;
  worker(id: string, others?: readonly string[], tells?: object): FakeWorker;
}

/** One worker with the source; those of the destination share its storage. */
async function makeWorkers(entries: readonly TransferEntry[]): Promise<Made> {
  const target = createFakeStorage();
  const shared = { ask: () => hub.ask, source: entries, target };
  const source = createFakeWorker("src-1", { ...shared, storages: [{ id: "storage-in", path: "/in" }] });
  await source.heartbeat();
  return {
    source,
    target,
    worker: (id, others = [], tells = {}) =>
      createFakeWorker(id, {
        ...shared,
        tells,
        storages: [{ id: "storage-out", path: "/out", seen_marks: others.map((other) => `mark-${other}`) }],
      }),
  };
}

/** Everything that is given out is done, until nothing is. What was given, in order. */
async function work(...workers: readonly FakeWorker[]): Promise<Assignment[]> {
  const given: Assignment[] = [];
  for (let idle = 0; idle < 3; idle++) {
    for (const worker of workers) {
      await worker.heartbeat();
      for (let assignment = await worker.poll(); assignment !== null; assignment = await worker.poll()) {
        idle = 0;
        given.push(assignment);
        const result = await worker.carryOut(assignment);
        if (result !== undefined) await worker.tell(result);
        await clock.advance(0);
      }
    }
    await clock.advance(1000);
  }
  return given;
}
const listIt = async (source: FakeWorker) => {
  await clock.advance(3000);
  const assignment = await source.poll();
  expect(assignment?.work.kind).toBe("list");
  if (assignment !== null) await source.carryOut(assignment);
  source.held.clear();
  await clock.advance(0);
};
const need = (assignment: Assignment | null): Assignment => {
  expect(assignment).not.toBeNull();
  if (assignment === null) throw new TypeError("nothing was given");
  return assignment;
};
const failing = ({ work: given, ...lease }: Assignment, code: string, message = "") => ({
  request_id: lease.request_id,
  worker_id: lease.worker_id,
  lease_id: lease.lease_id,
  attempt: lease.attempt,
  success: false,
  message,
  failures: given.kind === "copy" ? given.items.map(({ entry }) => ({ path: entry.path, code, message })) : [],
});

describe("a destination", () => {
  test("that another transfer writes to is free at once when that one is over, or was cancelled and has left nothing", async () => {
    begin();
    const { source, worker } = await makeWorkers(files(2));
    const to = worker("dst-1");
    await to.heartbeat();
    for (const id of ["first", "second", "third"]) {
      await submit(id, { destination_path: "/out/tree" });
      await clock.advance(3000);
    }
    await listIt(source);
    for (let given = await to.poll(); given !== null; given = await to.poll()) {
      await to.tell((await to.carryOut(given)) ?? {});
      await clock.advance(0);
    }
    await clock.advance(100);
    expect(await look("first")).toMatchObject({ state: "COMPLETED" });
    expect(await look("second")).toMatchObject({ reason: expect.not.stringMatching(/writes there/) });
    expect(await look("third")).toMatchObject({ reason: expect.stringMatching(/second writes there/) });
    await hub.ask("DELETE", "/sync/second");
    await clock.advance(100);
    expect(await look("third")).toMatchObject({ reason: expect.stringMatching(/second writes there/) });
    const discard = need(await to.poll());
    expect(discard.work.kind).toBe("discard");
    await to.tell((await to.carryOut(discard)) ?? {});
    await clock.advance(100);
    expect(await look("third")).toMatchObject({ reason: expect.not.stringMatching(/writes there/) });
    await work(source, to);
    expect(await look("third")).toMatchObject({ state: "COMPLETED" });
  });

  test("that a comparison reads is nobody's, and a comparison waits for none that writes", async () => {
    begin();
    const { worker } = await makeWorkers(files(2));
    await worker("dst-1").heartbeat();
    await submit("compares", { destination_path: "/out/tree", mode: "verify" });
    await clock.advance(3000);
    await submit("writes", { destination_path: "/out/tree" });
    await clock.advance(3000);
    await submit("compares too", { request_id: "compares-too", destination_path: "/out/tree", mode: "verify" });
    await clock.advance(3000);
    for (const id of ["compares", "writes", "compares-too"]) {
      expect(await look(id)).toMatchObject({ reason: expect.not.stringMatching(/writes there/) });
    }
  });

  test("that another one has begun to write to is not tried again meanwhile, whichever of both was sooner", async () => {
    begin();
    const { objects } = store;
    let isHeld = false;
    const held = Promise.withResolvers<void>();
    const slow: Store = {
      ...store,
      objects: {
        ...objects,
        put: async (object, context) => {
          if (isHeld && object.kind === "transfer-units") await held.promise;
          return objects.put(object, context);
        },
      },
    };
    await hub.stop();
    hub = startTransferHub(slow, clock);
    const { source, worker } = await makeWorkers(files(2));
    const to = worker("dst-1");
    await to.heartbeat();
    await submit("first", { destination_path: "/out/tree" });
    await listIt(source);
    await to.tell(failing(need(await to.poll()), "not-found", "it is gone"));
    await clock.advance(0);
    expect(await look("first")).toMatchObject({ state: "FAILED" });
    // It is tried again while the other has not begun, and has begun before the trying is written.
    isHeld = true;
    const again = hub.ask("POST", "/sync/first/retry").then(
      () => "retried",
      ({ code }: AppError) => code,
    );
    await to.heartbeat();
    await source.heartbeat();
    await submit("second", { destination_path: "/out/tree" });
    await clock.advance(3000);
    expect(need(await source.poll())).toMatchObject({ request_id: "second", work: { kind: "list" } });
    source.held.clear();
    isHeld = false;
    held.resolve();
    await clock.advance(0);
    expect(await again).toBe("conflict");
    expect(await look("first")).toMatchObject({ state: "FAILED" });
    await expect(hub.ask("POST", "/sync/first/retry")).rejects.toMatchObject({ code: "conflict" });
    await work(source, to);
    expect(await look("second")).toMatchObject({ state: "COMPLETED" });
    await hub.ask("POST", "/sync/first/retry");
    await work(source, to);
    expect(await look("first")).toMatchObject({ state: "COMPLETED" });
  });

  test("on a cloned disk is another one, whatever its id says", async () => {
    begin();
    const shared = { ask: () => hub.ask, source: files(2), target: createFakeStorage() };
    const both = ["a.1", "b.1"].map((id) =>
      createFakeWorker(id, { ...shared, storages: [{ id: "storage-1", path: "/disk" }] }),
    );
    for (const one of both) await one.heartbeat();
    const places = { source_path: "/disk/tree", destination_path: "/disk/tree" };
    await submit("r", { ...places, source_box: "a", destination_box: "b" });
    await submit("self", { ...places, source_path: "/disk", source_box: "a" });
    await clock.advance(3000);
    expect(await look("r")).toMatchObject({ reason: expect.not.stringMatching(/own copy/) });
  });
});
