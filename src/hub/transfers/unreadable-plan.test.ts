import { expect, test } from "vitest";
import { messageOf } from "../../base/errors.ts";
import type { Assignment } from "../../contract/transfer/assignment.ts";
import { NOW } from "../store/store.fake.ts";
import { openTransferHub } from "./open-transfer-hub.fake.ts";
import { createFakeStorage, createFakeWorker, fileEntry } from "./transfer-world.fake.ts";

const MIB = 1024 * 1024;
const PIECE_KIND = "transfer-piece";

/** A transfer whose plan a later hub wrote in a form of its own, of which a worker has a lease, and one that this hub reads; by name. */
async function besideALaterHub(priority: "high" | "normal" = "high") {
  const { hub: later, clock, store } = openTransferHub({ hubId: "later", manyHubs: true });
  let hub = later;
  const worker = createFakeWorker("worker-1", {
    ask: () => hub.ask,
    storages: [
      { id: "storage-in", path: "/in" },
      { id: "storage-out", path: "/out" },
    ],
    source: [fileEntry("a", MIB), fileEntry("b", MIB)],
    target: createFakeStorage(),
  });
  const take = async (request: string): Promise<Assignment> => {
    for (let times = 0; times < 20; times++) {
      const assignment = await worker.poll();
      if (assignment?.request_id === request) return assignment;
      expect(assignment).toBeNull();
      // The hub has to look at what is new first.
      await clock.advance(500);
      await worker.heartbeat();
    }
    throw new Error(`nothing of ${request} was given out`);
  };
  const submit = (request: string, priority: "high" | "normal") =>
    hub.ask("POST", "/sync", {
      ...{ request_id: request, source_path: `/in/${request}`, destination_path: `/out/${request}` },
      ...{ chunk_size_mb: 1, priority },
    });
  await worker.heartbeat();
  await submit("theirs", priority);
  await worker.tell((await worker.carryOut(await take("theirs"))) ?? {});
  const lease = await take("theirs");
  await submit("ours", "normal");
  await hub.stop();
  const { items } = await store.objects.list(PIECE_KIND, { limit: 10 });
  for (const { id } of items) {
    const body = { attempt: 1, packed: { shape: "of-a-later-version", entries: "?" } };
    await store.objects.put({ kind: PIECE_KIND, id, body }, { nowMs: NOW });
  }
  expect(items).toHaveLength(1);
  hub = openTransferHub({ store, clock, hubId: "earlier", manyHubs: true }).hub;
  return { hub, clock, worker, lease, take };
}

test("a hub that cannot read the plan of one transfer gives out the others, and says who has to give that one out", async () => {
  const { hub, worker, take } = await besideALaterHub();
  await worker.heartbeat();
  const given = await take("ours");
  expect(given.work.kind).toBe("list");
  const { reason } = (await hub.ask("GET", "/sync/theirs")) as { readonly reason: string };
  expect(reason).toContain("a later version of the hub, which has to give it out");
});

test("it takes no lease of such a transfer back, and its results have to be told again, elsewhere", async () => {
  const { worker, lease } = await besideALaterHub();
  expect((await worker.heartbeat()).revoked).toEqual([]);
  const refusal = worker.tell((await worker.carryOut(lease)) ?? {}).then(
    (status) => ({ code: status }),
    (thrown: unknown) => thrown,
  );
  expect(await refusal, messageOf(await refusal)).toMatchObject({ code: "unavailable" });
});

test("a worker that is full of other work keeps it: nobody here can say what of that transfer it would have", async () => {
  const { hub, clock, worker, take } = await besideALaterHub("normal");
  worker.held.clear();
  await worker.heartbeat();
  await worker.tell((await worker.carryOut(await take("ours"))) ?? {});
  const held = [await take("ours"), await take("ours")];
  expect(held.map(({ work }) => work.kind)).toEqual(["copy", "copy"]);
  for (let second = 0; second < 10; second++) {
    await hub.ask("POST", "/workers/worker-1/assignment?wait=0", { free: 0 });
    await clock.advance(1000);
    expect((await worker.heartbeat()).revoked).toEqual([]);
  }
});

test("it can be cancelled there: its removal needs no plan", async () => {
  const { hub, worker, take } = await besideALaterHub();
  await worker.heartbeat();
  await hub.ask("DELETE", "/sync/theirs");
  worker.held.clear();
  expect((await take("theirs")).work.kind).toBe("discard");
});
