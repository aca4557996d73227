import { afterEach, expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createMemoryStore } from "../store/memory/memory-store.ts";
import { NOW } from "../store/store.fake.ts";
import { TRANSFER_KIND, toTransfer } from "./transfer-record.ts";
import {
  createFakeStorage,
  createFakeWorker,
  fileEntry,
  startTransferHub,
  type TransferHub,
} from "./transfer-world.fake.ts";

let ids = 0;
const hubs: TransferHub[] = [];
afterEach(async () => {
  for (const hub of hubs.splice(0)) await hub.stop();
});

const BODY = { request_id: "once", source_path: "/in/a", destination_path: "/out/b" };
const OTHER = { ...BODY, destination_path: "/out/c" };

function begin(count = 1) {
  const clock = createFakeClock(NOW);
  const store = createMemoryStore({ newId: () => `id-${++ids}` });
  const made = Array.from({ length: count }, (_, at) =>
    startTransferHub(store, clock, { hubId: `hub-${at}`, manyHubs: count > 1 }),
  );
  hubs.push(...made);
  return { clock, store, hubs: made };
}
const codeOf = (asked: Promise<unknown>) =>
  asked.then(
    () => "taken",
    ({ code }: { code: string }) => code,
  );

test("one id asked for at once through several hubs, with two bodies, is one request", async () => {
  const { store, hubs: three } = begin(3);
  const asked = Array.from({ length: 60 }, (_, at) => (at % 2 === 0 ? BODY : OTHER));
  const told = await Promise.all(
    asked.map((body, at) => codeOf(three[at % 3]?.ask("POST", "/sync", body) ?? Promise.resolve())),
  );
  const object = await store.objects.get(TRANSFER_KIND, "once");
  const taken = object === undefined ? undefined : toTransfer(object)?.request.destination_path;
  expect([BODY.destination_path, OTHER.destination_path]).toContain(taken);
  expect(told).toEqual(asked.map(({ destination_path: path }) => (path === taken ? "taken" : "conflict")));
  // Whatever each hub has heard of it, all show that one.
  for (const hub of three) expect(await hub.ask("GET", "/sync/once")).toMatchObject({ destination_path: taken });
});

test("what a request of an earlier release is known by is what it is known by now", async () => {
  const { store, hubs: all } = begin();
  await all[0]?.ask("POST", "/sync", BODY);
  const object = await store.objects.get(TRANSFER_KIND, "once");
  // SHA-256 of the request in full, without its id and without a mode that is the first one there was.
  expect(object === undefined ? undefined : toTransfer(object)?.bodyHash).toBe(
    "1dc8b1e4cfe7347c54cf2555b7a9069f3a2aef466df4f485ed0467e4eaf34dc0",
  );
});

test("one that is being cancelled is not taken for the same that is asked for again", async () => {
  const { clock, hubs: all } = begin();
  const [hub] = all;
  if (hub === undefined) throw new TypeError("no hub");
  const shared = { ask: () => hub.ask, source: [fileEntry("", 3)], target: createFakeStorage() };
  for (const [id, path] of [
    ["src-1", "/in"],
    ["dst-1", "/out"],
  ] as const) {
    await createFakeWorker(id, { ...shared, storages: [{ id: `storage-${id}`, path }] }).heartbeat();
  }
  await hub.ask("POST", "/sync", BODY);
  await clock.advance(3000);
  expect(await hub.ask("DELETE", "/sync/once")).toMatchObject({ is_confirmed: false });
  expect(await codeOf(hub.ask("POST", "/sync", BODY))).toBe("conflict");
  await expect(hub.ask("POST", "/sync", BODY)).rejects.toThrow(/is being cancelled/);
});
