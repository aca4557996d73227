import { describe, expect, test } from "vitest";
import type { FakeClock } from "../../base/clock.fake.ts";
import type { AppError } from "../../base/errors.ts";
import type { Store } from "../store/store.ts";
import { newCountedStore, openTransferHub } from "./open-transfer-hub.fake.ts";
import { failing, filesOf, need, playTransfers } from "./play-transfers.fake.ts";
import { createFakeStorage, createFakeWorker, type TransferHub } from "./transfer-world.fake.ts";

let hub: TransferHub;
let clock: FakeClock;

const begin = (given: Parameters<typeof openTransferHub>[0] = {}) => {
  ({ hub, clock } = openTransferHub(given));
};
const { submit, look, makeWorkers, work, listIt } = playTransfers(() => ({ hub, clock }));

describe("a destination", () => {
  test("that another transfer writes to is free at once when that one is over, or was cancelled and has left nothing", async () => {
    begin();
    const { source, worker } = await makeWorkers(filesOf(2));
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
    const { worker } = await makeWorkers(filesOf(2));
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
    const plain = newCountedStore();
    const { objects } = plain;
    let isHeld = false;
    const held = Promise.withResolvers<void>();
    const slow: Store = {
      ...plain,
      objects: {
        ...objects,
        put: async (object, context) => {
          if (isHeld && object.kind === "transfer-units") await held.promise;
          return objects.put(object, context);
        },
      },
    };
    begin({ store: slow });
    const { source, worker } = await makeWorkers(filesOf(2));
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
    const shared = { ask: () => hub.ask, source: filesOf(2), target: createFakeStorage() };
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
