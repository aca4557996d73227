import { expect, test } from "vitest";
import type { Store } from "../store/store.ts";
import { newCountedStore, openTransferHub } from "./open-transfer-hub.fake.ts";
import { UNITS_KIND } from "./piece-book.ts";
import { createFakeStorage, createFakeWorker, fileEntry } from "./transfer-world.fake.ts";

const MIB = 1024 * 1024;

/** What is waited for when a unit is given out, and when its result is taken; in this order. */
async function waitsOf(manyHubs: boolean): Promise<readonly string[]> {
  const memory = newCountedStore();
  const waits: string[] = [];
  const put: Store["objects"]["put"] = (object, context) => {
    if (object.kind === UNITS_KIND) waits.push(context.durability ?? "durable");
    return memory.objects.put(object, context);
  };
  const { hub, clock } = openTransferHub({ store: { ...memory, objects: { ...memory.objects, put } }, manyHubs });
  const worker = createFakeWorker("worker-1", {
    ask: () => hub.ask,
    storages: [
      { id: "storage-in", path: "/in" },
      { id: "storage-out", path: "/out" },
    ],
    source: [fileEntry("a", MIB)],
    target: createFakeStorage(),
  });
  await worker.heartbeat();
  await hub.ask("POST", "/sync", { source_path: "/in/x", destination_path: "/out/x", chunk_size_mb: 1 });
  for (let times = 0; times < 20 && waits.length < 2; times++) {
    const assignment = await worker.poll();
    if (assignment !== null) await worker.tell((await worker.carryOut(assignment)) ?? {});
    await clock.advance(500);
    await worker.heartbeat();
  }
  return waits.slice(0, 2);
}

test("a hub that dies with its store's machine waits for the disk when it gives work out, and not when it hears what became of it", async () => {
  expect(await waitsOf(false)).toEqual(["durable", "relaxed"]);
});

test("hubs that may outlive what their store loses wait for both", async () => {
  expect(await waitsOf(true)).toEqual(["durable", "durable"]);
});
