import { createHash } from "node:crypto";
import { closeSync, fdatasync, fstatSync, ftruncateSync } from "node:fs";
import { promisify } from "node:util";
import { pathBytes } from "../../contract/transfer/path-text.ts";
import { fault } from "../fault.ts";
import { isPublished, syncNames } from "../receive/published.ts";
import { hashRange } from "../receive/staged-file.ts";
import { forgetCached } from "../receive/verify-file.ts";
import { applyAllMetadata } from "../storage/apply-metadata.ts";
import { type Descent, lookAt, openFileAt, openStagedAt, renameAt, splitPath } from "../storage/jail.ts";
import { createNotedDescent } from "../storage/made-directories.ts";
import { itemKey, openStaging, type Staging, scratchOf, stagingAttempt, type UnitClaim } from "../storage/staging.ts";
import { requireUnreserved } from "../storage/storage.ts";
import { createItemHash, itemKeyOf } from "../wire/item-hash.ts";
import { requireStorage, type Task, type TaskContext, type TaskOutcome } from "./task-context.ts";

const syncData = promisify(fdatasync);
const MAX_BLOCKS = 1024;

/** All ranges of a file are staged: it is read once more, gets its metadata, and then its name. */
export async function finishWork(task: Task<"finish">, outcome: TaskOutcome, context: TaskContext): Promise<void> {
  const { work, assignment } = task;
  const storage = requireStorage(context, work.destination.storage_id, "write");
  const target = [...splitPath(pathBytes(work.destination.path)), ...splitPath(pathBytes(work.entry.path))];
  requireUnreserved(target);
  const staging = openStaging(storage.root, assignment.request_id);
  const descent = createNotedDescent(storage.root, staging.directory);
  let claim: UnitClaim | undefined;
  try {
    claim = staging.claim(work.unit, stagingAttempt(assignment));
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
    const isWhole = async (held: number) => (await hashRanges(held, task)).wrong.length === 0;
    if (record?.bytes === entry.size && (await isPublished(record, target, descent, isWhole))) {
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
    const { sha256, wrong } = verify === "transit" ? hashOfRanges(task.work) : await hashRanges(fd, task);
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

/** Nobody has read the file as a whole: what stands for it is what its ranges were held against. */
function hashOfRanges({ entry, ranges }: Task<"finish">["work"]) {
  requireGapless(ranges, entry.size);
  const running = createHash("sha256");
  for (const { sha256 } of ranges) running.update(sha256);
  return { sha256: running.digest("hex"), wrong: [] as { readonly offset: number; readonly length: number }[] };
}

function requireGapless(ranges: Task<"finish">["work"]["ranges"], size: number): void {
  let at = 0;
  for (const { offset, length } of ranges) {
    if (offset !== at) throw fault("corrupt", `the ranges of the file leave out what begins at ${at}`);
    at += length;
  }
  if (at !== size) throw fault("corrupt", `the ranges of the file end at ${at} of ${size} bytes`);
}

/** In one pass: the hash of the file, and the ranges whose bytes are not those that were hashed on their way. */
async function hashRanges(fd: number, { work, signal, assignment }: Task<"finish">) {
  const key = itemKeyOf(assignment.lease_id);
  const whole = createHash("sha256");
  const wrong: { readonly offset: number; readonly length: number }[] = [];
  requireGapless(work.ranges, work.entry.size);
  for (const { offset, length, sha256 } of work.ranges) {
    const range = createItemHash({ length, key });
    const both = {
      update: (piece: Buffer) => {
        whole.update(piece);
        range.update(piece);
      },
    };
    if (!(await hashRange(fd, { offset, length }, both, signal))) throw fault("io", "the staged file became shorter");
    if (range.digest() !== sha256) wrong.push({ offset, length });
  }
  return { sha256: whole.digest("hex"), wrong };
}
