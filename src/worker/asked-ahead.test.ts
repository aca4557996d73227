import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import type { TaskOutcome } from "./tasks/task-context.ts";
import { startRelay } from "./wire/relay.fake.ts";
import { openWorkerWorld, type WorkerWorld } from "./worker-world.fake.ts";

const MIB = 1024 * 1024;
const RANGE_BYTES = 12 * MIB;
const RANGES = 3;

let open: WorkerWorld | undefined;
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
  open?.close();
  open = undefined;
});

/** Ranges of one file, each leased when the one before is nearly done, as a worker does. */
async function begin() {
  const world = await openWorkerWorld();
  open = world;
  const bytes = randomBytes(RANGES * RANGE_BYTES);
  mkdirSync(join(world.directory, "source", "tree"));
  writeFileSync(join(world.directory, "source", "tree", "file"), bytes);
  const [entry] = (await world.list()).filter(({ type }) => type === "file");
  if (entry === undefined) throw new TypeError("nothing is listed");
  const relay = await startRelay(world.source.port);
  closers.push(relay.close);
  const items: readonly CopyItem[] = Array.from({ length: RANGES }, (_, index) => ({
    entry,
    offset: index * RANGE_BYTES,
    length: RANGE_BYTES,
  }));
  const lease = (index: number, options: Parameters<WorkerWorld["run"]>[2]): Promise<TaskOutcome> => {
    const item = items[index];
    if (item === undefined) throw new TypeError("no such range");
    const sources = [{ ...world.peer([item]), endpoints: [relay.endpoint] }];
    return world.run(world.copyWork([item], { sources }), undefined, options);
  };
  const requireWhole = async (outcomes: readonly TaskOutcome[]) => {
    await world.run({
      kind: "finish",
      unit: "end",
      destination: { storage_id: world.destination.storage.id, path: "tree" },
      entry,
      ranges: outcomes.flatMap((outcome) => outcome.items.map(({ path: _, ...range }) => range)),
      verify: "full",
      preserve: ["mode", "times"],
    });
    expect(readFileSync(join(world.directory, "destination", "tree", "file")).equals(bytes)).toBe(true);
  };
  return { lease, relay, requireWhole };
}

it("a lease that begins while another ends asks on its connection, and both are whole", async () => {
  const { lease, relay, requireWhole } = await begin();
  const bytesAt: number[] = [];
  const run = async (index: number): Promise<readonly TaskOutcome[]> => {
    let next: Promise<readonly TaskOutcome[]> = Promise.resolve([]);
    let hasNext = false;
    let came = 0;
    const onNearlyDone = () => {
      if (hasNext || index + 1 === RANGES) return;
      hasNext = true;
      bytesAt.push(came);
      next = run(index + 1);
    };
    const onBytes = (bytes: number) => {
      came += bytes;
    };
    const outcome = await lease(index, { onNearlyDone, onBytes });
    return [outcome, ...(await next)];
  };
  const outcomes = await run(0);
  // While much of it was still to come.
  for (const came of bytesAt) expect(came).toBe(4 * MIB);
  expect(bytesAt).toHaveLength(RANGES - 1);
  expect(relay.connections()).toBe(1);
  await requireWhole(outcomes);
});

it("a lease that is taken back takes the connection along, and who asked behind it goes on over another", async () => {
  const { lease, relay, requireWhole } = await begin();
  const stop = new AbortController();
  let second: Promise<TaskOutcome> | undefined;
  const first = lease(0, {
    signal: stop.signal,
    onNearlyDone: () => {
      second ??= lease(1, {});
      setImmediate(() => stop.abort(new Error("fenced")));
    },
  });
  await expect(first).rejects.toThrow("fenced");
  const outcomes = await Promise.all([lease(0, { attempt: 2 }), second, lease(2, {})]);
  expect(relay.connections()).toBeGreaterThan(1);
  await requireWhole(outcomes.flatMap((outcome) => outcome ?? []));
});
