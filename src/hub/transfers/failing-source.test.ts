import { expect, test } from "vitest";
import type { FakeClock } from "../../base/clock.fake.ts";
import { AppError } from "../../base/errors.ts";
import type { Assignment } from "../../contract/transfer/assignment.ts";
import type { SyncProgress } from "../../contract/transfer/sync-progress.ts";
import { openTransferHub } from "./open-transfer-hub.fake.ts";
import {
  createFakeStorage,
  createFakeWorker,
  type FakeWorker,
  fileEntry,
  type TransferHub,
} from "./transfer-world.fake.ts";

const MIB = 1024 * 1024;

interface World {
  readonly clock: FakeClock;
  readonly hub: TransferHub;
  /** Both have the source's storage. */
  readonly sources: readonly [FakeWorker, FakeWorker];
  readonly to: FakeWorker;
  pass(seconds: number): Promise<void>;
  submit(id: string, request?: object): Promise<void>;
  look(id: string): Promise<SyncProgress>;
}

async function begin(tells: object = {}): Promise<World> {
  const { hub, clock } = openTransferHub();
  const shared = {
    ask: () => hub.ask,
    source: [
      fileEntry("", 0, { type: "directory" }),
      ...Array.from({ length: 9 }, (_, at) => fileEntry(`f${at}`, MIB)),
    ],
    target: createFakeStorage(),
  };
  const source = (id: string, other: string) =>
    createFakeWorker(id, {
      ...shared,
      tells,
      storages: [{ id: "storage-in", path: "/in", seen_marks: [`mark-${other}`] }],
    });
  const sources = [source("src-1", "src-2"), source("src-2", "src-1")] as const;
  const to = createFakeWorker("dst-1", { ...shared, storages: [{ id: "storage-out", path: "/out" }] });
  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      await clock.advance(1000);
      for (const worker of [...sources, to]) await worker.heartbeat();
    }
  };
  await pass(1);
  return {
    clock,
    hub,
    sources,
    to,
    pass,
    submit: async (id, request = {}) => {
      const isBack = "destination_box" in request;
      const paths = { source_path: "/in/x", destination_path: `/out/${id}` };
      await hub.ask("POST", "/sync", { request_id: id, ...paths, chunk_size_mb: 1, ...request });
      await pass(3);
      for (const worker of isBack ? [to] : sources) {
        const given = await worker.poll();
        if (given?.work.kind === "list") await worker.tell((await worker.carryOut(given)) ?? {});
      }
      await pass(1);
    },
    look: async (id) => (await hub.ask("GET", `/sync/${id}`)) as SyncProgress,
  };
}

const need = async (polled: Promise<Assignment | null>): Promise<Assignment> => {
  const given = await polled;
  if (given === null) throw new AppError("not-found", "nothing was given");
  return given;
};
const sourcesOf = ({ work }: Assignment) =>
  work.kind === "copy" ? work.sources.map(({ worker_id }) => worker_id) : [];
const failed = ({ work, ...lease }: Assignment, code: string, source?: string) => ({
  request_id: lease.request_id,
  worker_id: lease.worker_id,
  lease_id: lease.lease_id,
  attempt: lease.attempt,
  success: false,
  failures:
    work.kind === "copy"
      ? work.items.map(({ entry }) => ({
          path: entry.path,
          code,
          message: "EIO, read",
          ...(source === undefined ? {} : { source_worker: source }),
        }))
      : [],
});

test("what a source cannot read is asked of another one for a minute, and who copies is not kept apart for it", async () => {
  const { clock, to, submit, look, pass } = await begin();
  await submit("r");
  for (let time = 0; time < 4; time++) {
    const given = await need(to.poll());
    if (time === 0) expect(sourcesOf(given)).toEqual(["src-1", "src-2"]);
    expect(await to.tell(failed(given, "io", "src-1"))).toBe("ack");
  }
  expect((await look("r")).reason).toBe("it waits: src-1: io: EIO, read");
  const given = await need(to.poll());
  expect(sourcesOf(given)).toEqual(["src-2"]);
  expect(await to.tell((await to.carryOut(given)) ?? {})).toBe("ack");
  await pass(55);
  expect(sourcesOf(await need(to.poll()))).toEqual(["src-2"]);
  await clock.advance(6000);
  expect(sourcesOf(await need(to.poll()))).toEqual(["src-1", "src-2"]);
});

test("of a source that cannot read and is the only one it is asked again, and it fails after five times as its own file", async () => {
  const { to, submit, look, pass } = await begin();
  await submit("r", { source_box: "src-1" });
  let times = 0;
  for (let round = 0; round < 5; round++) {
    for (let given = await to.poll(); given !== null; given = await to.poll()) {
      expect(sourcesOf(given)).toEqual(["src-1"]);
      await to.tell(failed(given, "io", "src-1"));
      times += 1;
    }
    await pass(31);
  }
  expect(times % 5).toBe(0);
  const { state, failures } = await look("r");
  expect(state).toBe("FAILED");
  expect(failures.find(({ path }) => path === "f8")).toMatchObject({ code: "io", message: "EIO, read" });
});

test("what a source says of room is not the destination's: the others come without a pause", async () => {
  const { to, submit } = await begin();
  await submit("r");
  await to.tell(failed(await need(to.poll()), "no-space", "src-1"));
  expect((await to.poll())?.work.kind).toBe("copy");
  expect(await to.tell(failed(await need(to.poll()), "no-space"))).toBe("ack");
  expect(await to.poll()).toBeNull();
});

test("a worker that is kept apart brings nothing to others either", async () => {
  const { clock, hub, sources, to, submit } = await begin({ data_plane_endpoints: [] });
  const [bad, good] = sources;
  const back = { source_path: "/out/x", destination_path: "/in/copy", destination_box: "src-1" };
  await submit("in", { ...back, priority: "low" });
  await submit("served", { source_box: "src-1" });
  // Its storage fails as a destination, before it has asked for what it is to bring.
  const given = [await need(bad.poll()), await need(bad.poll()), await need(bad.poll())];
  expect(sourcesOf(await need(to.poll()))).toEqual(["src-1"]);
  for (const one of given) expect(await bad.tell(failed(one, "io"))).toBe("ack");
  await clock.advance(0);
  expect(JSON.stringify(await hub.ask("GET", "/workers"))).toContain("io: EIO, read");
  expect(await bad.poll()).toBeNull();
  await submit("next");
  expect(sourcesOf(await need(to.poll()))).toEqual(["src-2"]);
  expect((await good.poll())?.work.kind).toBe("serve");
});
