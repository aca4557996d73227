import { expect, test } from "vitest";
import type { FakeClock } from "../../base/clock.fake.ts";
import type { Assignment } from "../../contract/transfer/assignment.ts";
import type { SyncProgress } from "../../contract/transfer/sync-progress.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import type { Store } from "../store/store.ts";
import { newCountedStore, openTransferHub } from "./open-transfer-hub.fake.ts";
import { failing, need, playTransfers } from "./play-transfers.fake.ts";
import { TRANSFER_KIND } from "./transfer-record.ts";
import {
  createFakeStorage,
  createFakeWorker,
  type FakeWorker,
  fileEntry,
  type TransferHub,
} from "./transfer-world.fake.ts";

const MIB = 1024 * 1024;
let hub: TransferHub;
let clock: FakeClock;
let store: Store;

const begin = (given: Parameters<typeof openTransferHub>[0] = {}) => {
  ({ hub, clock, store } = openTransferHub({ manyHubs: true, ...given }));
};
const files = (count: number, bytes = 10): TransferEntry[] => [
  fileEntry("", 0, { type: "directory" }),
  ...Array.from({ length: count }, (_, at) => fileEntry(`f${at}`, bytes)),
];
const submit = (id: string) =>
  hub.ask("POST", "/sync", {
    request_id: id,
    source_path: `/in/${id}`,
    destination_path: `/out/${id}`,
    chunk_size_mb: 1,
  });
const workersOf = (entries: readonly TransferEntry[], tells: object = {}) => {
  const shared = { ask: () => hub.ask, source: entries, target: createFakeStorage() };
  const source = createFakeWorker("src-1", { ...shared, tells, storages: [{ id: "storage-in", path: "/in" }] });
  const to = createFakeWorker("dst-1", { ...shared, storages: [{ id: "storage-out", path: "/out" }] });
  return { source, to };
};
const { work } = playTransfers(() => ({ hub, clock }));

test("a worker that tells a hub of a lease which another one has given keeps it, also where that hub knows of no such request, piece or attempt", async () => {
  begin();
  const { source, to } = workersOf(files(1));
  await source.heartbeat();
  await to.heartbeat();
  // It does not hear of what others write.
  const { hub: other } = openTransferHub({ clock, store, hubId: "hub-2" });
  const own = hub;
  const revokedBy = async (at: TransferHub, holder: FakeWorker) => {
    hub = at;
    const { revoked } = await holder.heartbeat().finally(() => {
      hub = own;
    });
    return revoked;
  };
  const fail = async (given: Assignment) => {
    await to.tell(failing(given, "fenced"));
    await clock.advance(1000);
  };
  try {
    for (const request of ["first", "second"]) {
      await other.ask("GET", "/sync");
      await submit(request);
      // Whichever of them begins it.
      await clock.advance(10_000);
      const { hub: late } = openTransferHub({ clock, store, hubId: `late-${request}` });
      await late.ask("GET", "/sync");
      // Of the second it has heard before there was a lease.
      if (request === "second") expect(await revokedBy(other, source)).toEqual([]);
      const listing = need(await source.poll());
      expect(await revokedBy(other, source)).toEqual([]);
      await source.tell({ ...failing(listing, "io"), failures: [{ path: "", code: "io", message: "" }] });
      await clock.advance(3000);
      need(await source.poll());
      expect([request, await revokedBy(other, source)]).toEqual([request, []]);
      await source.carryOut(need([...source.held.values()][0] ?? null));
      source.held.clear();
      for (let attempt = 1; attempt <= 2; attempt++) {
        await to.heartbeat();
        const copying = need(await to.poll());
        expect([copying.work.kind, copying.attempt]).toEqual(["copy", attempt]);
        expect([request, attempt, await revokedBy(other, to)]).toEqual([request, attempt, []]);
        await fail(copying);
      }
      // Nor is a result lost on one that has heard of no page.
      const copied = await to.carryOut(need(await to.poll()));
      hub = late;
      expect(await to.tell(copied ?? {})).toBe("ack");
      hub = own;
      await late.stop();
      // Whichever of them ends it.
      await clock.advance(10_000);
      await work(source, to);
      expect(await hub.ask("GET", `/sync/${request}`)).toMatchObject({ state: "COMPLETED" });
    }
  } finally {
    hub = own;
    await other.stop();
  }
});

test("a worker that asks two hubs at once, or of which two ask at once, is given each piece of work by one of them", async () => {
  begin();
  const { hub: other } = openTransferHub({ clock, store, hubId: "hub-2", manyHubs: true });
  const { source, to } = workersOf(files(3, MIB), { data_plane_endpoints: [] });
  const ask = async (at: TransferHub, holder: FakeWorker, more: object = {}): Promise<Assignment[]> => {
    const asked = { free: 1, boot_id: "b", ...more };
    const given = await at.ask("POST", `/workers/${holder.id}/assignment?wait=0`, asked);
    return given === null ? [] : [given as Assignment];
  };
  const askBoth = async (holder: FakeWorker, more: object = {}) =>
    (await Promise.all([ask(hub, holder, more), ask(other, holder, more)])).flat();
  try {
    await source.heartbeat();
    await to.heartbeat();
    await submit("r");
    await clock.advance(10_000);
    await source.heartbeat();
    await to.heartbeat();
    // Both have read all that there is: neither is later than the other.
    for (const one of [hub, other]) expect(await ask(one, to)).toEqual([]);
    const [listing, ...others] = await askBoth(source);
    expect([listing?.work.kind, others]).toEqual(["list", []]);
    await source.carryOut(need(listing ?? null));
    await clock.advance(0);
    // The source cannot be reached: it is told to come, by whichever hub it asks.
    for (const round of ["one hub", "both"]) {
      const [copying] = await ask(hub, to);
      expect(copying?.work).toMatchObject({ kind: "copy", dial: "source" });
      await clock.advance(0);
      const only = { free: 0 };
      const serves = round === "both" ? await askBoth(source, only) : await ask(other, source, only);
      expect([round, serves.map(({ work: { kind } }) => kind)]).toEqual([round, ["serve"]]);
    }
    const last = await askBoth(to);
    expect(new Set(last.map(({ lease_id: id }) => id)).size).toBe(last.length);
    expect(last.map(({ work: { kind } }) => kind)).toEqual(["copy"]);
    // What was told to one of them the other shows.
    const shown = async (at: TransferHub) => (await at.ask("GET", "/sync/r")) as SyncProgress;
    expect(await shown(other)).toMatchObject({ files_done: 0 });
    expect(await to.tell((await to.carryOut(need(last[0] ?? null))) ?? {})).toBe("ack");
    await clock.advance(0);
    for (const one of [hub, other]) expect(await shown(one)).toMatchObject({ files_done: 1 });
  } finally {
    await other.stop();
  }
});

test("a transfer that ends in the moment in which it is cancelled is gone at once", async () => {
  const plain = newCountedStore();
  let reads = Number.NaN;
  const racing: typeof plain.objects = {
    ...plain.objects,
    get: async (kind, id) => {
      const held = await plain.objects.get(kind, id);
      // Behind the first look of who cancels it the hub writes of its end.
      if (kind !== TRANSFER_KIND || held === undefined || reads++ !== 0) return held;
      const body = { ...Object(held.body), phase: "completed" };
      await plain.objects.put({ kind, id, body }, { nowMs: clock.wallMs() });
      return held;
    },
  };
  begin({ manyHubs: false, store: { ...plain, objects: racing } });
  const { source, to } = workersOf(files(1));
  await source.heartbeat();
  await to.heartbeat();
  await submit("r");
  await clock.advance(3000);
  await source.carryOut(need(await source.poll()));
  reads = 0;
  expect(await hub.ask("DELETE", "/sync/r")).toMatchObject({ is_confirmed: true });
  expect(reads).toBeGreaterThan(1);
  await expect(hub.ask("GET", "/sync/r")).rejects.toMatchObject({ code: "not-found" });
});
