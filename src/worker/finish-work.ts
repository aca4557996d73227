import { createHash } from "node:crypto";
import { closeSync, fdatasync, fstatSync, ftruncateSync, read } from "node:fs";
import { promisify } from "node:util";
import { pathBytes } from "../contract/transfer/path-text.ts";
import { applyAllMetadata } from "./apply-metadata.ts";
import { fault } from "./fault.ts";
import { PIECE_BYTES } from "./frames.ts";
import { createDescent, type Descent, lookAt, openFileAt, openStagedAt, renameAt, splitPath } from "./jail.ts";
import { isPublished, syncNames } from "./published.ts";
import { itemKey, openStaging, type Staging, scratchOf, type UnitClaim } from "./staging.ts";
import { requireUnreserved } from "./storage.ts";
import { requireStorage, type Task, type TaskContext, type TaskOutcome } from "./task-context.ts";
import { forgetCached } from "./verify-file.ts";

const readOnce = promisify(read);
const syncData = promisify(fdatasync);
const MAX_BLOCKS = 1024;

/** All ranges of a file are staged: it is read once more, gets its metadata, and then its name. */
export async function finishWork(task: Task<"finish">, outcome: TaskOutcome, context: TaskContext): Promise<void> {
  const { work, assignment } = task;
  const storage = requireStorage(context, work.destination.storage_id, "write");
  const target = [...splitPath(pathBytes(work.destination.path)), ...splitPath(pathBytes(work.entry.path))];
  requireUnreserved(target);
  const staging = openStaging(storage.root, assignment.request_id);
  const descent = createDescent(storage.root);
  let claim: UnitClaim | undefined;
  try {
    claim = staging.claim(work.unit, assignment.attempt);
    await finish(task, outcome, { context, staging, claim, descent, target });
    syncNames(descent, outcome, 0);
  } finally {
    claim?.close();
    descent.close();
    staging.close();
  }
}

interface Parts {
  readonly context: TaskContext;
  readonly staging: Staging;
  readonly claim: UnitClaim;
  readonly descent: Descent;
  readonly target: readonly Buffer[];
}

async function finish(task: Task<"finish">, outcome: TaskOutcome, parts: Parts): Promise<void> {
  const { context, staging, claim, descent, target } = parts;
  const { entry, preserve, verify } = task.work;
  const item = { entry, offset: 0, length: entry.size };
  const place = { directory: staging.directory, name: staging.partialName(item) };
  const told = (sha256: string) => void outcome.items.push({ path: entry.path, offset: 0, length: entry.size, sha256 });
  if (lookAt(place) === undefined) {
    const record = claim.journal.of(itemKey(item));
    if (record !== undefined && (await isPublished(record, entry, target, descent))) {
      // A crash came between its name and the answer.
      const fd = openFileAt(descent.target(target));
      try {
        await applyAllMetadata(fd, entry, preserve, { ...context, scratch: scratchOf(claim) });
      } finally {
        closeSync(fd);
      }
      return told(record.sha256);
    }
    throw fault("corrupt", "what was staged of the file is not there any more");
  }
  const fd = openStagedAt(place);
  try {
    // Its end may be a hole.
    if (fstatSync(fd).size !== entry.size) ftruncateSync(fd, entry.size);
    await syncData(fd);
    if (verify === "readback") await forgetCached(fd, context);
    const { sha256, wrong } = await hashRanges(fd, task);
    if (wrong.length > 0) {
      outcome.failures.push({
        path: entry.path,
        code: "corrupt",
        message: `${wrong.length} of ${task.work.ranges.length} ranges are not what came over the network`,
        blocks: wrong.slice(0, MAX_BLOCKS),
      });
      return;
    }
    claim.requireHeld();
    const { ino } = fstatSync(fd, { bigint: true });
    claim.journal.append([{ key: itemKey(item), bytes: entry.size, sha256, ino: String(ino) }]);
    claim.journal.sync();
    await applyAllMetadata(fd, entry, preserve, { ...context, scratch: scratchOf(claim) });
    const to = descent.target(target);
    claim.requireHeld();
    renameAt(place, to);
    told(sha256);
  } finally {
    closeSync(fd);
  }
}

/** In one pass: the hash of the file, and the ranges whose bytes are not those that were hashed on their way. */
async function hashRanges(fd: number, { work, signal }: Task<"finish">) {
  const whole = createHash("sha256");
  const wrong: { readonly offset: number; readonly length: number }[] = [];
  const buffer = Buffer.allocUnsafe(PIECE_BYTES);
  const comparesRanges = work.verify !== "transit";
  let at = 0;
  for (const { offset, length, sha256 } of work.ranges) {
    if (offset !== at) throw fault("corrupt", `the ranges of the file leave out what begins at ${at}`);
    const range = createHash("sha256");
    while (at < offset + length) {
      signal.throwIfAborted();
      const { bytesRead } = await readOnce(fd, buffer, 0, Math.min(buffer.length, offset + length - at), at);
      if (bytesRead === 0) throw fault("io", "the staged file became shorter");
      const bytes = buffer.subarray(0, bytesRead);
      whole.update(bytes);
      if (comparesRanges) range.update(bytes);
      at += bytesRead;
    }
    if (comparesRanges && range.digest("hex") !== sha256) wrong.push({ offset, length });
  }
  if (at !== work.entry.size) throw fault("corrupt", `the ranges of the file end at ${at} of ${work.entry.size} bytes`);
  return { sha256: whole.digest("hex"), wrong };
}
