import { z } from "zod";
import { pathBelow } from "../../contract/transfer/transfer-path.ts";
import {
  type WorkerHeartbeat,
  type WorkerStorage,
  workerHeartbeatSchema,
} from "../../contract/transfer/worker-heartbeat.ts";
import type { StoredObject } from "../store/objects.ts";

/** What a worker told last, for every hub. */
export const WORKER_KIND = "transfer-worker";

const recordSchema = z.object({
  heartbeat: workerHeartbeatSchema,
  /** Wall time, for people. */
  heardMs: z.number(),
  /** Its leases failed one after the other: it gets none until then. */
  quarantine: z.object({ untilMs: z.number(), cause: z.string(), times: z.int() }).optional(),
});
export type WorkerRecord = z.output<typeof recordSchema>;

export interface Worker extends WorkerRecord {
  readonly id: string;
  readonly revision: number;
}

export function toWorker({ id, revision, body }: StoredObject): Worker | undefined {
  const parsed = recordSchema.safeParse(body);
  return parsed.success ? { ...parsed.data, id, revision } : undefined;
}

/** Pure. Whether it only knows the forms of workers that are written by hand. */
export function isPlain({ heartbeat }: Pick<WorkerRecord, "heartbeat">): boolean {
  return heartbeat.storages === undefined;
}

/** Pure. Of a plain worker: paths that are one storage wherever they are named the same, as its users are told. */
export function storagesOf(heartbeat: WorkerHeartbeat): readonly WorkerStorage[] {
  if (heartbeat.storages !== undefined) return heartbeat.storages;
  return heartbeat.storage_paths.map((path) => ({ id: `path:${path}`, path, read: true, write: true, seen_marks: [] }));
}

/** Pure. `north-1` is of box `north-1`, and so is `north-1.disk2`. */
export function isOfBox(workerId: string, boxId: string): boolean {
  return workerId === boxId || workerId.startsWith(`${boxId}.`);
}

/** Pure. The innermost storage that a path lies in, and where. */
export function storageWith(
  worker: Pick<WorkerRecord, "heartbeat">,
  path: string,
): { readonly storage: WorkerStorage; readonly path: string } | undefined {
  let found: { readonly storage: WorkerStorage; readonly path: string } | undefined;
  for (const storage of storagesOf(worker.heartbeat)) {
    const below = pathBelow(storage.path, path);
    if (below !== undefined && (found === undefined || storage.path.length > found.storage.path.length)) {
      found = { storage, path: below };
    }
  }
  return found;
}

/** Pure. Whether two workers that name one id have one storage: plain ones by their word, others because one sees what the other left. */
export function isSameStorage(one: WorkerStorage, other: WorkerStorage): boolean {
  if (one.id !== other.id) return false;
  if (one.id.startsWith("path:")) return true;
  const sees = (a: WorkerStorage, b: WorkerStorage) => b.mark !== undefined && a.seen_marks.includes(b.mark);
  return sees(one, other) || sees(other, one);
}
