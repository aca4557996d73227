import { constants, copyFile } from "node:fs";
import { promisify } from "node:util";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import { pathBytes } from "../contract/transfer/path-text.ts";
import { fault } from "./fault.ts";
import { PIECE_BYTES } from "./frames.ts";
import { createItemHash, itemKeyOf } from "./item-hash.ts";
import { createDescent, type Descent, lookAt, pathOf, splitPath, unlinkAt } from "./jail.ts";
import { noteMade } from "./made-directories.ts";
import { placeNonFile } from "./place-non-file.ts";
import { failureOf, publishFiles } from "./publish-files.ts";
import { syncNames } from "./published.ts";
import { isWhole } from "./receive-items.ts";
import { openSourceFile, type SourceFile } from "./source-file.ts";
import { hashRange, openStagedFile, readPiece, type StagedFile } from "./staged-file.ts";
import { itemKey, openStaging, type Staging, stagedName, stagingAttempt, type UnitClaim } from "./staging.ts";
import { requireUnreserved, type Storage } from "./storage.ts";
import { requireStorage, type Task, type TaskContext, type TaskOutcome } from "./task-context.ts";

const copyOnce = promisify(copyFile);

interface Copying {
  readonly task: Task<"copy">;
  readonly outcome: TaskOutcome;
  readonly context: TaskContext;
  readonly staging: Staging;
  readonly claim: UnitClaim;
  readonly from: Descent;
  readonly descent: Descent;
}

/**
 * Source and destination are one storage, which is proved file by file: the one that was listed is the one that is found here, by
 * its inode and times. Whole files are cloned where the file system can, else the system copies them.
 */
export async function copyInPlace(
  task: Task<"copy">,
  outcome: TaskOutcome,
  { context, storage }: { readonly context: TaskContext; readonly storage: Storage },
): Promise<void> {
  const { work, assignment, signal } = task;
  const source = requireStorage(context, work.source.storage_id, "read");
  const staging = openStaging(storage.root, assignment.request_id);
  const from = createDescent(source.root);
  const descent = createDescent(storage.root, noteMade(staging.directory));
  let claim: UnitClaim | undefined;
  try {
    claim = staging.claim(work.unit, stagingAttempt(assignment));
    for (const item of work.items) {
      signal.throwIfAborted();
      try {
        await copyOne(item, { task, outcome, context, staging, claim, from, descent });
        task.onBytes(item.length);
      } catch (thrown) {
        outcome.failures.push(failureOf(item, thrown));
      }
    }
    claim.requireHeld();
    syncNames(descent, outcome, 0);
  } finally {
    claim?.close();
    from.close();
    descent.close();
    staging.close();
  }
}

async function copyOne(item: CopyItem, parts: Copying): Promise<void> {
  const { task, outcome, context, claim, from, descent } = parts;
  const { preserve, verify, source, destination } = task.work;
  const below = splitPath(pathBytes(item.entry.path));
  const target = [...splitPath(pathBytes(destination.path)), ...below];
  requireUnreserved(target);
  if (item.entry.type !== "file") {
    const sha256 = placeNonFile(item.entry, target, { claim, descent, preserve });
    outcome.items.push({ path: item.entry.path, offset: 0, length: 0, sha256 });
    return;
  }
  const origin = [...splitPath(pathBytes(source.path)), ...below];
  requireUnreserved(origin);
  const file = openSourceFile(from, origin, item.entry);
  try {
    const staged = isWhole(item) ? await stageWhole(item, file, parts) : await stageRange(item, file, parts);
    try {
      file.requireUnchanged();
    } catch (thrown) {
      await staged.close();
      throw thrown;
    }
    const key = itemKey(item);
    const whole = { item, name: stagedName(key), record: { key, ino: staged.ino }, staged };
    await publishFiles([{ ...whole, target: isWhole(item) ? target : undefined }], {
      clock: context.clock,
      claim,
      descent,
      verify,
      key: itemKeyOf(task.assignment.lease_id),
      preserve,
      runProgram: context.runProgram,
      pid: context.pid,
      done: (done) => void outcome.items.push(done),
      failed: (failure) => void outcome.failures.push(failure),
    });
  } finally {
    file.close();
  }
}

async function stageWhole(item: CopyItem, file: SourceFile, { claim, task, context }: Copying): Promise<StagedFile> {
  const place = { directory: claim.directory, name: stagedName(itemKey(item)) };
  if (lookAt(place) !== undefined) unlinkAt(place);
  const mode = constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL;
  await copyOnce(`/proc/self/fd/${file.fd}`, pathOf(place), mode);
  const { length } = item;
  const key = itemKeyOf(task.assignment.lease_id);
  const running = createItemHash({ length, key });
  await hashRange(file.fd, item, running, task.signal);
  const proved = { bytes: length, sha256: running.digest() };
  const { bulkFiles } = context;
  const staged = await openStagedFile({
    place,
    offset: 0,
    length,
    key,
    proved,
    isSparse: true,
    isWhole: true,
    bulkFiles,
    isElsewhere: () => false,
  });
  if (staged.bytes() === item.length) return staged;
  await staged.close();
  throw fault("corrupt", `the system's copy of ${item.entry.path} differs from it`);
}

async function stageRange(item: CopyItem, file: SourceFile, { staging, task, context }: Copying): Promise<StagedFile> {
  const { offset, length } = item;
  const place = { directory: staging.directory, name: staging.partialName(item) };
  const isSparse = task.work.preserve.includes("sparse");
  const key = itemKeyOf(task.assignment.lease_id);
  const { bulkFiles } = context;
  const staged = await openStagedFile({
    place,
    offset,
    length,
    key,
    proved: undefined,
    isSparse,
    isWhole: false,
    bulkFiles,
    isElsewhere: () => false,
  });
  try {
    const buffer = Buffer.allocUnsafe(PIECE_BYTES);
    while (staged.bytes() < length) {
      task.signal.throwIfAborted();
      const at = staged.bytes();
      const bytes = buffer.subarray(0, Math.min(buffer.length, length - at));
      if (!(await readPiece(file.fd, bytes, offset + at)))
        throw fault("source-changed", `${item.entry.path} became shorter`);
      await staged.add({ at, length: bytes.length, isZero: false, digest: undefined, bytes });
    }
    return staged;
  } catch (thrown) {
    await staged.close();
    throw thrown;
  }
}
