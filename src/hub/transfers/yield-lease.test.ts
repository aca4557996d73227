import { expect, test } from "vitest";
import type { FakeClock } from "../../base/clock.fake.ts";
import { AppError } from "../../base/errors.ts";
import type { Assignment } from "../../contract/transfer/assignment.ts";
import { openTransferHub } from "./open-transfer-hub.fake.ts";
import { type Ask, createFakeStorage, createFakeWorker, type FakeWorker, fileEntry } from "./transfer-world.fake.ts";

const MIB = 1024 * 1024;

interface World {
  readonly clock: FakeClock;
  readonly ask: Ask;
  worker(id: string, storages: Readonly<Record<string, string>>, tells?: object): FakeWorker;
  /** Answers once it is there to be listed. */
  submit(id: string, request: object): Promise<void>;
  list(worker: FakeWorker): Promise<void>;
}

function begin(): World {
  const { hub, clock } = openTransferHub();
  const source = Array.from({ length: 40 }, (_, at) => fileEntry(`f${at}`, MIB));
  return {
    clock,
    ask: hub.ask,
    worker: (id, storages, tells = {}) =>
      createFakeWorker(id, {
        ask: () => hub.ask,
        source,
        target: createFakeStorage(),
        tells,
        storages: Object.entries(storages).map(([path, storage]) => ({ id: storage, path })),
      }),
    submit: async (id, request) => {
      const body = { request_id: id, source_path: "/in/x", destination_path: `/out/${id}`, chunk_size_mb: 1 };
      await hub.ask("POST", "/sync", { ...body, ...request });
      await clock.advance(1000);
    },
    list: async (worker) => {
      const given = need(await worker.poll());
      expect(given.work.kind).toBe("list");
      await worker.tell((await worker.carryOut(given)) ?? {});
      await clock.advance(100);
    },
  };
}

function need(given: Assignment | null): Assignment {
  if (given === null) throw new AppError("not-found", "nothing was given");
  return given;
}

/** One source, one destination that has begun with `bulk`, which is not urgent. */
async function beginBulk(tells: object = {}) {
  const world = begin();
  const source = world.worker("src-1", { "/in": "storage-in" });
  const to = world.worker("dst-1", { "/out": "storage-out" }, tells);
  for (const worker of [source, to]) await worker.heartbeat();
  await world.submit("bulk", { priority: "low" });
  await world.list(source);
  const isFull = () => world.ask("POST", "/workers/dst-1/assignment?wait=0", { free: 0 });
  const urgent = async (id = "urgent", request: object = {}, lister = source) => {
    await world.submit(id, { priority: "high", ...request });
    await lister.heartbeat();
    await world.list(lister);
  };
  return { ...world, source, to, isFull, urgent };
}
const fenced = ({ request_id, worker_id, lease_id, attempt, work }: Assignment, code = "fenced") => ({
  request_id,
  worker_id,
  lease_id,
  attempt,
  success: false,
  failures: work.kind === "copy" ? work.items.map(({ entry }) => ({ path: entry.path, code, message: "" })) : [],
});

test("the one of which least has come makes room", async () => {
  const { ask, to, isFull, urgent } = await beginBulk();
  const leases = [need(await to.poll()), need(await to.poll()), need(await to.poll())];
  await urgent();
  await isFull();
  const far = [900, 20, 400];
  const answer = await ask("POST", "/workers/heartbeat", {
    worker_id: "dst-1",
    status: "TRANSFERRING",
    data_plane_endpoints: ["dst-1:8470"],
    abilities: ["verify"],
    storages: [{ id: "storage-out", path: "/out", read: true, write: true, mark: "mark-dst-1" }],
    boot_id: "b",
    sequence: 99,
    leases: leases.map(({ lease_id, attempt }, at) => ({ lease_id, attempt, transferred_bytes: far[at], rate: 1 })),
  });
  expect(answer).toMatchObject({ revoked: [{ lease_id: leases[1]?.lease_id }] });
});

test("a worker that makes room again and again is not taken for one that fails, nor what it lets go for what has failed", async () => {
  const { ask, clock, source, to } = await beginBulk();
  for (let time = 1; time <= 7; time++) {
    const bulk = need(await to.poll());
    // The same one each time: it is the first that is open.
    expect([bulk.work.kind === "copy" && bulk.work.unit, bulk.attempt]).toEqual(["0.0", time]);
    expect(await to.tell(fenced(bulk))).toBe("ack");
    await clock.advance(31_000);
    for (const worker of [source, to]) await worker.heartbeat();
  }
  expect(await ask("GET", "/sync/bulk")).toMatchObject({ state: "PROGRESS", failures: [] });
});

test.each([
  ["asked for more since: it has a stream for it", async (to: FakeWorker) => void (await to.poll())],
  [
    "has not asked for long: nobody knows what it has",
    async (to: FakeWorker, clock: FakeClock) => {
      for (let second = 0; second < 31; second++) {
        await clock.advance(1000);
        await to.heartbeat();
      }
    },
  ],
])("nothing makes room at a worker that %s", async (_, meanwhile) => {
  const { clock, source, to, isFull, urgent } = await beginBulk();
  await to.poll();
  await isFull();
  await meanwhile(to, clock);
  await source.heartbeat();
  await urgent();
  expect((await to.heartbeat()).revoked).toEqual([]);
  await isFull();
  expect((await to.heartbeat()).revoked).toHaveLength(1);
});

test("nothing makes room for what no way leads to, or for what waits for room on the disk", async () => {
  const world = await beginBulk({ data_plane_endpoints: [] });
  const { to, isFull, urgent, clock } = world;
  const barred = world.worker("src-2", { "/barred": "storage-barred" }, { data_plane_endpoints: [] });
  await barred.heartbeat();
  const [bulk] = [need(await to.poll()), need(await to.poll())];
  await urgent("unreachable", { source_path: "/barred/x" }, barred);
  await isFull();
  expect((await to.heartbeat()).revoked).toEqual([]);
  await urgent("reachable");
  await isFull();
  expect((await to.heartbeat()).revoked).toMatchObject([{ lease_id: bulk.lease_id }]);
  await to.tell(fenced(bulk));
  const urgentLease = need(await to.poll());
  expect(urgentLease.request_id).toBe("reachable");
  await to.tell(fenced(urgentLease, "no-space"));
  await isFull();
  expect((await to.heartbeat()).revoked).toEqual([]);
  await clock.advance(5000);
  await isFull();
  expect((await to.heartbeat()).revoked).toHaveLength(1);
});

test("a file makes room for an urgent listing too; a listing makes room for nothing", async () => {
  const world = begin();
  const { ask, submit, list, clock } = world;
  const both = world.worker("box-1", { "/in": "storage-in", "/out": "storage-out" });
  const isFull = () => ask("POST", "/workers/box-1/assignment?wait=0", { free: 0 });
  await both.heartbeat();
  await submit("bulk", { priority: "low" });
  await list(both);
  const file = need(await both.poll());
  await submit("urgent", { priority: "high" });
  await isFull();
  expect((await both.heartbeat()).revoked).toMatchObject([{ lease_id: file.lease_id }]);
  await both.tell(fenced(file));
  await list(both);
  // All of it is under way, and something less urgent is listed.
  for (const id of ["bulk", "urgent"]) await ask("DELETE", `/sync/${id}`);
  await clock.advance(11_000);
  both.held.clear();
  await submit("tree", { priority: "low", destination_path: "/out/a" });
  await both.heartbeat();
  for (let given = await both.poll(); given !== null; given = await both.poll()) {
    if (given.work.kind === "list") break;
    await both.tell((await both.carryOut(given)) ?? {});
  }
  expect([...both.held.values()].map(({ work }) => work.kind)).toEqual(["list"]);
  await submit("next", { priority: "high", destination_path: "/out/b" });
  await isFull();
  expect((await both.heartbeat()).revoked).toEqual([]);
});
