import { constants, copyFile, fstatSync } from "node:fs";
import { promisify } from "node:util";
import type { CopyItem } from "../../contract/transfer/assignment.ts";
import { pathBytes } from "../../contract/transfer/path-text.ts";
import { toFault } from "../fault.ts";
import { isWhole } from "../receive/receive-items.ts";
import { hashRange } from "../receive/staged-file.ts";
import { readAsk } from "../send/data-server.ts";
import { sendItems } from "../send/send-items.ts";
import {
  closeHeld,
  createDescent,
  type Descent,
  lookAt,
  openFileAt,
  type Place,
  pathOf,
  setMode,
  splitPath,
  unlinkAt,
} from "../storage/jail.ts";
import { openSourceFile, type SourceFile } from "../storage/source-file.ts";
import { itemKey, openStaging, stagedName, stagingAttempt, type UnitClaim } from "../storage/staging.ts";
import { isReserved, type Storage } from "../storage/storage.ts";
import { createItemHash, isTagged, itemKeyOf } from "../wire/item-hash.ts";
import { createLinkPair } from "../wire/link-pair.ts";
import { bothPaces, createPace } from "../wire/pace.ts";
import { receiveLease } from "./receive-lease.ts";
import { requireStorage, type Task, type TaskContext, type TaskOutcome } from "./task-context.ts";

const copyOnce = promisify(copyFile);

/** This worker has both sides, as one storage or as two: it is the source of its own copy, and both are joined within the process. */
export async function copyLocally(task: Task<"copy">, outcome: TaskOutcome, context: TaskContext): Promise<void> {
  const { work, signal } = task;
  const source = requireStorage(context, work.source.storage_id, "read");
  const destination = requireStorage(context, work.destination.storage_id, "write");
  outcome.way = "local";
  await stageBySystem(task, context, { source, destination });
  const [near, far] = createLinkPair();
  let sending: Promise<void> | undefined;
  const send = async () => {
    const { items, want } = await readAsk(far);
    const { bulkFiles } = context;
    // What may move is counted where it lands.
    const pace = createPace(() => undefined, context.clock);
    const rest = { pace, onBytes: () => undefined };
    await sendItems(items, want, { bulkFiles, root: source.root, place: work.source.path, link: far, signal, ...rest });
  };
  try {
    await receiveLease(task, outcome, {
      context,
      root: destination.root,
      open: async () => {
        sending = send().catch((thrown: unknown) => far.close(toFault(thrown)));
        return { link: near, worker: context.workerId };
      },
      told: { bytes: 0 },
      onNearlyDone: () => undefined,
    });
  } finally {
    near.close();
    // It reads from the source's storage, which may be let go of then.
    await sending;
  }
}

/**
 * Whole files of which nothing is here yet are staged by the system, as if an earlier attempt had brought them: the copy is then proved against
 * the source as that would be. Whatever is in the way is left to the copy, which tells it.
 */
async function stageBySystem(
  task: Task<"copy">,
  { receivePace }: TaskContext,
  { source, destination }: { readonly source: Storage; readonly destination: Storage },
): Promise<void> {
  const { work, assignment, signal } = task;
  const items = work.items.filter((item) => item.entry.type === "file" && isTagged(item.length) && isWhole(item));
  if (items.length === 0) return;
  // The system copies as fast as it can.
  const mayCopy = source.id === destination.id && !bothPaces(task.pace, receivePace).isHeld();
  const staging = openStaging(destination.root, assignment.request_id);
  const [from, to] = [createDescent(source.root), createDescent(destination.root)];
  try {
    const claim = staging.claim(work.unit, stagingAttempt(assignment));
    try {
      for (const item of items) {
        signal.throwIfAborted();
        if (!(await stageOne(item, { task, claim, from, to, mayCopy }))) return;
      }
    } finally {
      claim.close();
    }
  } finally {
    to.close();
    from.close();
    staging.close();
  }
}

interface SystemCopy {
  readonly task: Task<"copy">;
  readonly claim: UnitClaim;
  readonly from: Descent;
  readonly to: Descent;
  /** Not only where two files can have the same bytes (reflink): a storage on a network is then copied by its server. */
  readonly mayCopy: boolean;
}

/** False: the others need not be tried. */
async function stageOne(item: CopyItem, { task, claim, from, to, mayCopy }: SystemCopy): Promise<boolean> {
  const { work, assignment, signal } = task;
  const { entry, length } = item;
  const key = itemKey(item);
  const below = splitPath(pathBytes(entry.path));
  const [origin, target] = [work.source, work.destination].map(({ path }) => [...splitPath(pathBytes(path)), ...below]);
  if (origin === undefined || target === undefined || isReserved(origin) || claim.journal.of(key) !== undefined)
    return true;
  if (isThere(target, to)) return true;
  let file: SourceFile | undefined;
  try {
    file = openSourceFile(from, origin, entry);
    const place = { directory: claim.directory, name: stagedName(key) };
    // Of an attempt that ended before it was proved.
    if (lookAt(place) !== undefined) unlinkAt(place);
    // The system's copy has no holes.
    const hasHoles = entry.allocated !== undefined;
    const clone = mayCopy && !hasHoles ? constants.COPYFILE_FICLONE : constants.COPYFILE_FICLONE_FORCE;
    await copyOnce(`/proc/self/fd/${file.fd}`, pathOf(place), clone | constants.COPYFILE_EXCL);
    const running = createItemHash({ length, key: itemKeyOf(assignment.lease_id) });
    if (!(await hashRange(file.fd, { offset: 0, length }, running, signal))) return true;
    file.requireUnchanged();
    const ino = ownAlone(place);
    claim.journal.append([{ key, bytes: length, sha256: running.digest(), ino }]);
    return true;
  } catch {
    return false;
  } finally {
    file?.close();
  }
}

/** A clone has the mode of its source, which may be one that its owner cannot write to. */
function ownAlone(place: Place): string {
  const fd = openFileAt(place);
  try {
    setMode(fd, 0o600);
    return String(fstatSync(fd, { bigint: true }).ino);
  } finally {
    closeHeld(fd);
  }
}

/** Then it is compared, and not copied at all where it is the same. */
function isThere(target: readonly Buffer[], to: Descent): boolean {
  try {
    return lookAt(to.place(target)) !== undefined;
  } catch {
    return false;
  }
}
