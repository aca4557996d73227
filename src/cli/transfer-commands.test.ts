import { afterEach, beforeEach, expect, test } from "vitest";
import { createFleetWorld, type FleetWorld } from "./fleet-world.fake.ts";

let world: FleetWorld;

beforeEach(async () => {
  world = await createFleetWorld({
    boxes: [{ id: "north-1" }, { id: "archive" }],
    facts: {},
    statusOf: () => undefined,
    columns: 160,
  });
});
afterEach(() => world[Symbol.asyncDispose]());

const ask = (path: string, body?: unknown) =>
  world.hub.ask("POST", path, { token: world.hub.tokens.operator, ...(body === undefined ? {} : { body }) });

/** A worker as the old guide has it, on `archive`, with both places. */
const appear = () =>
  ask("/workers/heartbeat", { worker_id: "archive", status: "IDLE", storage_paths: ["/srv", "/archive"] });

/** It takes the whole transfer and says how that went. */
async function work(result: object): Promise<void> {
  const { body } = await ask("/workers/archive/assignment?wait=20");
  const told = { request_id: body.request_id, worker_id: "archive", lease_id: body.lease_id, attempt: body.attempt };
  expect((await ask("/workers/result", { ...told, ...result })).body).toEqual({ status: "ack" });
}

const start = (...more: string[]) =>
  world.run("sync", "start", "/srv/day-1", "/archive/day-1", "--id", "day-1", ...more);

test("a transfer that nobody can do waits and says why; cancelled, it is gone", async () => {
  const started = await world.run("sync", "start", "nor:/srv/day-1", "arch:/archive/day-1", "--id", "day-1");
  expect(started).toMatchObject({
    exitCode: 0,
    out: "transfer day-1 is queued; sluice sync show day-1 --watch follows it\n",
  });
  const shown = await world.run("sync", "show", "day");
  expect(shown.out).toContain("queued");
  expect(shown.out).toContain("north-1:/srv/day-1");
  expect(shown.out).toMatch(/reason +\S/);
  expect((await world.run("sync", "ls", "--state", "queued")).out).toMatch(/day-1 +queued/);
  expect((await world.run("sync", "ls", "--state", "failed")).out).toBe("no transfer\n");
  expect(await world.run("sync", "cancel", "day-1")).toMatchObject({ exitCode: 0, out: "transfer day-1 is gone\n" });
  const missing = await world.run("sync", "show", "day-1");
  expect(missing).toMatchObject({ exitCode: 66 });
  expect(missing.err).toContain("sluice sync ls shows all");
});

test("one that is watched to its end ends as the transfer does", async () => {
  await appear();
  const watched = start("--watch");
  await work({ success: true });
  const { exitCode, out } = await watched;
  expect(exitCode).toBe(0);
  expect(out).toContain("completed");
});

test("one that fails says why and how to go on; retried, it can still be done", async () => {
  await appear();
  const watched = start("--watch");
  await work({
    success: false,
    message: "no room left",
    failures: [{ path: "a", code: "denied", message: "not ours" }],
  });
  const failed = await watched;
  expect(failed.err).toContain("sluice sync retry day-1 goes on");
  expect(failed.exitCode).not.toBe(0);
  const retried = world.run("sync", "retry", "day-1", "--watch");
  await work({ success: true });
  expect(await retried).toMatchObject({ exitCode: 0 });
});

test("what is no place, no box and another request under the same id is told before anything is begun", async () => {
  expect((await world.run("sync", "start", "srv/day-1", "/archive")).err).toContain("SOURCE: given");
  expect((await world.run("sync", "start", "south:/srv", "/archive")).err).toContain('no box is called "south"');
  await start();
  const other = await world.run("sync", "start", "/srv/day-2", "/archive/day-1", "--id", "day-1");
  expect(other.exitCode).toBe(64);
  expect(JSON.parse((await world.run("sync", "ls", "--json")).out).items).toHaveLength(1);
});

/** A worker that knows the whole protocol, on `box`, with one storage. */
const appearWith = (box: string, path: string, more: object = {}) =>
  ask("/workers/heartbeat", {
    worker_id: box,
    status: "IDLE",
    storages: [{ id: `storage-of-${box}`, path, read: true, write: false }],
    abilities: ["verify"],
    ...more,
  });

/** Everything that the worker of a box is given, until the comparison is over: one file, of this content. */
async function serveComparison(box: string, content: string, until: Promise<unknown>): Promise<void> {
  let isOver = false;
  void until.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    const { body } = await ask(`/workers/${box}/assignment?wait=1`);
    if (body === null) continue;
    const lease = { request_id: body.request_id, worker_id: box, lease_id: body.lease_id, attempt: body.attempt };
    if (body.work.kind === "list") {
      const facts = {
        path: "",
        type: "file",
        size: 3,
        mtime_ns: "1",
        mode: 0o644,
        uid: 0,
        gid: 0,
        generation: "1:1:3:1:1",
      };
      await ask("/workers/plan", { ...lease, page: body.work.next_page, entries: [facts], is_last: true });
    } else {
      const items = [{ path: "", offset: 0, length: 3, sha256: content.repeat(64) }];
      await ask("/workers/result", { ...lease, success: true, items });
    }
  }
}

test.each([
  ["a", 0, /^no difference: 1 entry is equal\n$/],
  ["b", 1, /^differs: \.: content: 3 bytes, of another content\n1 differ; 0 entries are equal\n$/],
] as const)("a comparison ends like diff, and says the difference: %s", async (content, exitCode, out) => {
  await appearWith("north-1", "/srv");
  await appearWith("archive", "/archive");
  const run = world.run("sync", "verify", "north:/srv/a", "arch:/archive/a", "--id", `v-${content}`);
  await Promise.all([serveComparison("north-1", "a", run), serveComparison("archive", content, run)]);
  expect(await run).toMatchObject({ exitCode, out: expect.stringMatching(out) });
  expect((await world.run("sync", "show", `v-${content}`)).out).toMatch(/root hash [0-9a-f]{64}/);
  expect((await world.run("sync", "ls")).out).toMatch(/verify/);
});

test("a comparison that cannot be asked for is trouble, and says why", async () => {
  const wrong = await world.run("sync", "verify", "srv", "/archive");
  expect(wrong).toMatchObject({ exitCode: 2, err: expect.stringContaining("SOURCE: given") });
  const receipt = await world.run("sync", "verify", "/srv/a", "/archive/a", "--receipt", "/nowhere/receipt");
  expect(receipt).toMatchObject({ exitCode: 2, err: expect.stringContaining("--receipt: /nowhere/receipt") });
  const text = await world.run("sync", "verify", "/srv/a", "/archive/a", "--receipt", import.meta.filename);
  const said =
    "the receipt is none: three parts are expected; allowed: what sluice sync show TRANSFER --json has as receipt";
  expect(text).toMatchObject({ exitCode: 2, err: `sluice: --receipt: given ${import.meta.filename}: ${said}\n` });
  const queued = await world.run("sync", "verify", "/srv/a", "/archive/a", "--id", "later", "--no-wait");
  expect(queued).toMatchObject({ exitCode: 0, out: expect.stringContaining("comparison later is queued") });
});

test("a stream's recordings that have moved, wait and failed are counted in the list, and where none move there is no column", async () => {
  const stream = (id: string, output: object) => ({
    workload: { kind: "stream", id, spec: { input: "rtsp://camera/1", outputs: [output] } },
  });
  const put = async (id: string, output: object) => {
    const path = `/v1/boxes/north-1/workloads/${id}`;
    const { status } = await world.hub.ask("PUT", path, { token: world.hub.tokens.operator, body: stream(id, output) });
    expect(status).toBe(200);
  };
  const at = new Date().toISOString();
  const statusOf = (id: string, more: object) => {
    const status = { id, kind: "stream", description: "", state: "running", generation: 1, restarts: 0, since: at };
    return { ...status, ...more };
  };
  const recording = { url: "/srv/recordings/cam-1/", segmentSeconds: 60 };
  await put("cam-1", { ...recording, move: { to: "archive:/archive/cam-1", keepHere: "3d" } });
  await put("cam-2", { url: "rtmp://ingest/live/k" });
  await world.report("north-1", { workloads: [statusOf("cam-1", {}), statusOf("cam-2", {})] });
  expect((await world.run("stream", "ls")).out).not.toContain("MOVED");

  const told = async (segments: object) => {
    await world.report("north-1", { workloads: [statusOf("cam-1", { segments }), statusOf("cam-2", {})] });
    const [head = "", ...rows] = (await world.run("stream", "ls")).out.split("\n");
    const from = head.indexOf("MOVED");
    const to = head.indexOf("WHAT");
    const cell = (id: string) =>
      rows
        .find((row) => row.includes(id))
        ?.slice(from, to)
        .trim();
    return [cell("cam-1"), cell("cam-2")];
  };
  expect(await told({ moved: 12, waiting: 0, failed: 0 })).toEqual(["12", ""]);
  const lastError = { at, message: "a.mp4: denied: archive may not take it" };
  expect(await told({ moved: 13, waiting: 2, failed: 1, lastError })).toEqual(["13, 2 wait, 1 failed", ""]);
  const { out } = await world.run("stream", "show", "cam-1");
  expect(out).toMatch(/^recordings +13 moved, 2 waiting, 1 failed$/m);
  expect(out).toContain("a.mp4: denied: archive may not take it");
});
