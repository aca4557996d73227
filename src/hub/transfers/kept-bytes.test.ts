import { afterEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import type { Assignment } from "../../contract/transfer/assignment.ts";
import type { SyncProgress } from "../../contract/transfer/sync-progress.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import { createToldBytes } from "./told-bytes.ts";
import {
  createFakeStorage,
  createFakeWorker,
  fileEntry,
  startTransferHub,
  type TransferHub,
} from "./transfer-world.fake.ts";

const MIB = 1024 * 1024;
let hub: TransferHub | undefined;
afterEach(() => hub?.stop());

/** One file of 16 MiB in one lease, of which its destination has told 10. */
async function begin(request: object = {}) {
  const clock = createFakeClock();
  const running = startTransferHub(createMemoryStore({ newId: () => "id-1" }), clock);
  hub = running;
  const shared = { ask: () => running.ask, source: [fileEntry("", 16 * MIB)], target: createFakeStorage() };
  const source = createFakeWorker("src-1", { ...shared, storages: [{ id: "storage-in", path: "/in" }] });
  const out = [{ id: "storage-out", path: "/out" }];
  const destination = createFakeWorker("dst-1", { ...shared, storages: out });
  const next = async (worker: typeof source): Promise<Assignment> => {
    await clock.advance(100);
    const given = await worker.poll();
    if (given === null) throw new TypeError("there is no work");
    return given;
  };
  let sequence = 0;
  const hear = async (leases: readonly object[]) => {
    const storages = out.map((storage) => ({ ...storage, read: true, write: true, mark: "mark-dst-1" }));
    const who = { worker_id: "dst-1", status: "IDLE", data_plane_endpoints: ["dst-1:8470"], boot_id: "b" };
    await running.ask("POST", "/workers/heartbeat", { ...who, sequence: ++sequence, storages, leases });
  };
  const tell = ({ lease_id, attempt }: Assignment, mebibytes: number) =>
    hear([{ lease_id, attempt, transferred_bytes: mebibytes * MIB, rate: 1 }]);
  const shown = async () => (await running.ask("GET", "/sync/r")) as SyncProgress;
  const mebibytes = async () => (await shown()).transferred_bytes / MIB;
  await source.heartbeat();
  await hear([]);
  await running.ask("POST", "/sync", { request_id: "r", source_path: "/in/x", destination_path: "/out/y", ...request });
  const listing = await next(source);
  await source.tell((await source.carryOut(listing)) ?? {});
  const first = await next(destination);
  await tell(first, 10);
  return { clock, source, destination, first, next, hear, tell, shown, mebibytes };
}

test("what a worker that is away had told still counts, and who goes on with it takes nothing back before it is done", async () => {
  const { clock, source, destination, next, hear, tell, shown, mebibytes } = await begin();
  expect(await mebibytes()).toBe(10);
  await clock.advance(60_000);
  expect(await shown()).toMatchObject({ workers: [], transferred_bytes: 10 * MIB, rate_bytes_s: 0 });
  await source.heartbeat();
  await hear([]);
  destination.held.clear();
  const second = await next(destination);
  expect(second.attempt).toBe(2);
  expect(await mebibytes()).toBe(10);
  await tell(second, 4);
  expect(await mebibytes()).toBe(10);
  // What is only found again where it lies is no speed.
  await tell(second, 0);
  await shown();
  await clock.advance(3000);
  await tell(second, 10);
  expect(await shown()).toMatchObject({ transferred_bytes: 10 * MIB, rate_bytes_s: 0 });
  await tell(second, 12);
  expect(await mebibytes()).toBe(12);
  await destination.tell((await destination.carryOut(second)) ?? {});
  expect(await mebibytes()).toBe(16);
});

test("what a lease had that came to nothing, because its source is gone, still counts", async () => {
  const { clock, destination, first, mebibytes } = await begin();
  const { request_id, lease_id, attempt } = first;
  const failures = [{ path: "", code: "unreachable", message: "the connection broke" }];
  const result = { request_id, worker_id: "dst-1", lease_id, attempt, success: false, message: "", failures };
  expect(await destination.tell(result)).toBe("ack");
  await clock.advance(60_000);
  expect(await mebibytes()).toBe(10);
});

test("of what is not heard of for an hour, and of what is done, nothing is kept", async () => {
  const clock = createFakeClock();
  const told = createToldBytes({ clock });
  told.note("uid-0001:0.0:1", 5);
  told.note("uid-0001:0.1:1", 5);
  told.note("uid-0001:list:1", 5);
  told.note("uid-0001:0.2:1", 0);
  told.forget("uid-0001", { kind: "unit", piece: 0, index: 0 });
  expect(told.of("uid-0001")).toMatchObject([{ unit: { piece: 0, index: 1 }, bytes: 5 }]);
  await clock.advance(3_600_000);
  expect(told.prune()).toBe(1);
  await clock.advance(1);
  expect(told.prune()).toBe(0);
});
