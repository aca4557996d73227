import { expect } from "vitest";
import type { FakeClock } from "../../base/clock.fake.ts";
import { AppError } from "../../base/errors.ts";
import type { Assignment } from "../../contract/transfer/assignment.ts";
import type { SyncProgress } from "../../contract/transfer/sync-progress.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import {
  createFakeStorage,
  createFakeWorker,
  type FakeStorage,
  type FakeWorker,
  fileEntry,
  type TransferHub,
} from "./transfer-world.fake.ts";

export interface MadeWorkers {
  readonly source: FakeWorker;
  readonly target: FakeStorage;
  worker(id: string, others?: readonly string[], tells?: object): FakeWorker;
}

/** What is done with transfers in most tests, at the hub that is the present one then. */
export function playTransfers(current: () => { readonly hub: TransferHub; readonly clock: FakeClock }) {
  const submit = (id: string, more: object = {}) =>
    current().hub.ask("POST", "/sync", {
      request_id: id,
      source_path: `/in/${id}`,
      destination_path: `/out/${id}`,
      chunk_size_mb: 1,
      ...more,
    });
  const look = async (id: string): Promise<SyncProgress> => {
    const all = (await current().hub.ask("GET", "/sync")) as readonly SyncProgress[];
    const found = all.find(({ request_id }) => request_id === id);
    if (found === undefined) throw new AppError("not-found", id);
    return found;
  };
  /** One worker with the source; those of the destination share its storage. */
  const makeWorkers = async (entries: readonly TransferEntry[]): Promise<MadeWorkers> => {
    const target = createFakeStorage();
    const shared = { ask: () => current().hub.ask, source: entries, target };
    const source = createFakeWorker("src-1", { ...shared, storages: [{ id: "storage-in", path: "/in" }] });
    await source.heartbeat();
    return {
      source,
      target,
      worker: (id, others = [], tells = {}) =>
        createFakeWorker(id, {
          ...shared,
          tells,
          storages: [{ id: "storage-out", path: "/out", seen_marks: others.map((other) => `mark-${other}`) }],
        }),
    };
  };
  /** Everything that is given out is done, until nothing is. What was given, in order. */
  const work = async (...workers: readonly FakeWorker[]): Promise<Assignment[]> => {
    const given: Assignment[] = [];
    for (let idle = 0; idle < 3; idle++) {
      for (const worker of workers) {
        await worker.heartbeat();
        for (let assignment = await worker.poll(); assignment !== null; assignment = await worker.poll()) {
          idle = 0;
          given.push(assignment);
          const result = await worker.carryOut(assignment);
          if (result !== undefined) await worker.tell(result);
          await current().clock.advance(0);
        }
      }
      await current().clock.advance(1000);
    }
    return given;
  };
  const listIt = async (source: FakeWorker) => {
    await current().clock.advance(3000);
    const assignment = await source.poll();
    expect(assignment?.work.kind).toBe("list");
    if (assignment !== null) await source.carryOut(assignment);
    source.held.clear();
    await current().clock.advance(0);
  };
  return { submit, look, makeWorkers, work, listIt };
}

/** A directory with so many files. */
export const filesOf = (count: number, bytes = 10): TransferEntry[] => [
  fileEntry("", 0, { type: "directory" }),
  ...Array.from({ length: count }, (_, at) => fileEntry(`f${String(at).padStart(3, "0")}`, bytes)),
];

export const need = (assignment: Assignment | null): Assignment => {
  expect(assignment).not.toBeNull();
  if (assignment === null) throw new TypeError("nothing was given");
  return assignment;
};

/** What a worker tells of a lease of which nothing could be done. */
export const failing = ({ work: given, ...lease }: Assignment, code: string, message = "") => ({
  request_id: lease.request_id,
  worker_id: lease.worker_id,
  lease_id: lease.lease_id,
  attempt: lease.attempt,
  success: false,
  message,
  failures: given.kind === "copy" ? given.items.map(({ entry }) => ({ path: entry.path, code, message })) : [],
});
