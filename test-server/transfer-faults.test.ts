import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { systemClock } from "../src/base/clock.ts";
import { digestTree } from "../src/worker/digest-tree.fake.ts";
import { createTransferWorld } from "./transfer-world.ts";

const MIB = 1024 * 1024;
const BYTES = 48 * MIB + 5;
/** It waits for a lease to run out. What decides is shown with simulated time in the normal run. */
const isLong = process.env["SLUICE_TEST_LONG"] === "1";

function stagedIn(storage: string): readonly string[] {
  const all = join(storage, ".sluice-transfer");
  return existsSync(all) ? readdirSync(all).filter((name) => !name.startsWith("m-")) : [];
}

it.skipIf(!isLong)(
  "a worker that is stopped past its lease and wakes harms nothing",
  { timeout: 300_000 },
  async () => {
    await using world = await createTransferWorld({ hasTwin: true, agentArguments: ["--transfer-max-streams", "2"] });
    const tree = join(world.from, "tree");
    mkdirSync(tree);
    for (const name of ["one", "two"]) writeFileSync(join(tree, name), randomBytes(BYTES / 2));
    const request = { source_path: tree, chunk_size_mb: 4, bandwidth_mbps: 40 };
    const staged = () => stagedIn(world.to);
    const zombie = world.workerId("to");

    const id = await world.submit({ ...request, destination_path: join(world.to, "copy") });
    await world.until(async () => {
      const { workers, transferred_bytes } = await world.progress(id);
      return (
        transferred_bytes > BYTES / 8 && workers.some(({ worker_id, work }) => worker_id === zombie && /cop/.test(work))
      );
    }, "both work on it");
    world.signalWorker("to", "SIGSTOP");
    const stoppedMs = systemClock.monotonicMs();
    await world.until(
      async () => !(await world.progress(id)).workers.some(({ worker_id }) => worker_id === zombie),
      "the end of its leases",
    );
    const overMs = systemClock.monotonicMs() - stoppedMs;
    await world.until(async () => (await world.progress(id)).state === "COMPLETED", "its end, by the other");
    const doneMs = systemClock.monotonicMs() - stoppedMs;
    const whole = digestTree(tree);
    expect(digestTree(join(world.to, "copy"))).toEqual(whole);
    world.signalWorker("to", "SIGCONT");
    await world.until(async () => {
      const workers = (await world.hub().call("GET", "/workers")) as {
        active: { worker_id: string; leases?: unknown[] }[];
      };
      return JSON.stringify(workers).includes(zombie) && staged().length === 0;
    }, "it wakes");
    await systemClock.delay(3000);
    expect(await world.progress(id)).toMatchObject({ state: "COMPLETED", failures: [] });
    expect(digestTree(join(world.to, "copy"))).toEqual(whole);
    expect(staged()).toEqual([]);
    expect(overMs).toBeLessThan(20_000);
    process.stderr.write(`stopped: leases over after ${overMs} ms, whole after ${doneMs} ms\n`);
  },
);

it("a transfer that is cancelled moves nothing from then on, and leaves nothing", { timeout: 120_000 }, async () => {
  await using world = await createTransferWorld({ agentArguments: ["--transfer-max-streams", "2"] });
  const tree = join(world.from, "tree");
  mkdirSync(tree);
  for (const name of ["one", "two"]) writeFileSync(join(tree, name), randomBytes(BYTES / 2));
  const to = join(world.to, "cancelled");
  const id = await world.submit({ source_path: tree, destination_path: to, chunk_size_mb: 4, bandwidth_mbps: 40 });
  await world.until(async () => (await world.progress(id)).transferred_bytes > BYTES / 8, "an eighth of it");
  expect(stagedIn(world.to)).not.toEqual([]);
  const askedMs = systemClock.monotonicMs();
  await world.hub().call("DELETE", `/sync/${id}`);
  const isGone = () =>
    world.progress(id).then(
      () => false,
      () => true,
    );
  await world.until(isGone, "that it is gone");
  const goneMs = systemClock.monotonicMs() - askedMs;
  expect(stagedIn(world.to)).toEqual([]);
  // It had made that itself.
  expect(existsSync(to)).toBe(false);
  const moved = world.movedBytes();
  await systemClock.delay(2000);
  // Of 10 MB that would move in that time.
  expect(world.movedBytes() - moved).toBeLessThan(MIB / 8);
  expect(goneMs).toBeLessThan(10_000);
});

it("what is urgent is done although all streams are taken for long by what is not", { timeout: 120_000 }, async () => {
  await using world = await createTransferWorld({ agentArguments: ["--transfer-max-streams", "2"] });
  const [tree, urgent] = [join(world.from, "tree"), join(world.from, "urgent")];
  mkdirSync(tree);
  for (const name of ["one", "two"]) writeFileSync(join(tree, name), randomBytes(BYTES));
  writeFileSync(urgent, randomBytes(MIB));
  // One piece of work for each stream, of which each takes half a minute.
  const long = { source_path: tree, chunk_size_mb: 1024, bandwidth_mbps: 16, priority: "low" };
  const bulk = await world.submit({ ...long, destination_path: join(world.to, "copy") });
  await world.until(async () => (await world.progress(bulk)).transferred_bytes > MIB, "that it moves");
  const id = await world.submit({ source_path: urgent, destination_path: join(world.to, "urgent"), priority: "high" });
  await world.until(async () => (await world.progress(id)).state === "COMPLETED", "the urgent one's end");
  const { state, transferred_bytes: moved, failures } = await world.progress(bulk);
  expect([state, failures]).toEqual(["PROGRESS", []]);
  expect(moved).toBeLessThan(BYTES);
  // What made room goes on with what it has.
  const before = world.movedBytes();
  await world.until(async () => (await world.progress(bulk)).transferred_bytes > moved + MIB, "that it goes on");
  expect(world.movedBytes() - before).toBeLessThan(BYTES);
  await world.hub().call("DELETE", `/sync/${bulk}`);
});
