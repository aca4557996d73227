import { createHash } from "node:crypto";
import { errnoOf } from "../../base/errors.ts";
import { pathBytes } from "../../contract/transfer/path-text.ts";
import { MAX_PAGES_AT_ONCE } from "../../contract/transfer/plan-page.ts";
import { PRESERVED } from "../../contract/transfer/sync-request.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import type { ResultFailure } from "../../contract/transfer/transfer-result.ts";
import { fault, toFault } from "../fault.ts";
import { applyAllMetadata } from "../storage/apply-metadata.ts";
import { type Descent, linkAt, lookAt, renameAt, splitPath, unlinkAt } from "../storage/jail.ts";
import { createNotedDescent, removeEmptyMade } from "../storage/made-directories.ts";
import {
  openStaging,
  removeStaging,
  removeTree,
  scratchOf,
  stagingAttempt,
  type UnitClaim,
} from "../storage/staging.ts";
import { requireUnreserved, type Storage } from "../storage/storage.ts";
import { walkTree } from "../storage/walk-tree.ts";
import { untilAnswered } from "./list-work.ts";
import { requireStorage, type Task, type TaskContext, type TaskOutcome } from "./task-context.ts";

/** So many may always be removed; more only where at least as much stays. */
const FREE_REMOVALS = 100;
const MAX_TOLD = 1000;
/** Of pages of the plan, while one is worked on. */
const ROUNDS_AHEAD = 4;

interface Closing {
  readonly task: Task<"close">;
  readonly context: TaskContext;
  readonly storage: Storage;
  readonly place: readonly Buffer[];
  readonly descent: Descent;
  /** A later attempt ends it: two that close a tree at a time would undo each other. */
  readonly claim: UnitClaim;
  readonly failed: (failure: ResultFailure) => void;
}

/** All files are there: their further names, what is too much, and last the directories, the innermost first. */
export async function closeWork(task: Task<"close">, outcome: TaskOutcome, context: TaskContext): Promise<void> {
  const { work, assignment } = task;
  const storage = requireStorage(context, work.destination.storage_id, "write");
  const place = splitPath(pathBytes(work.destination.path));
  requireUnreserved(place);
  const staging = openStaging(storage.root, assignment.request_id);
  const descent = createNotedDescent(storage.root, staging.directory);
  let claim: UnitClaim | undefined;
  try {
    claim = staging.claim(work.unit, stagingAttempt(assignment));
    const failed = (failure: ResultFailure) => {
      if (outcome.failures.length < MAX_TOLD) outcome.failures.push(failure);
    };
    const closing: Closing = { task, context, storage, place, descent, claim, failed };
    await makeHardLinks(closing);
    if (work.delete_extraneous) outcome.message = await removeExtraneous(closing);
    await finishDirectories(closing);
    claim.requireHeld();
    descent.sync();
  } finally {
    claim?.close();
    descent.close();
    staging.close();
  }
  if (outcome.failures.length === 0) removeStaging(storage.root, assignment.request_id);
}

/** What a cancelled request left is removed, its own directories in which nothing lies with it; from here on nothing of it can get a name. */
export async function discardWork(task: Task<"discard">, context: TaskContext): Promise<void> {
  const storage = requireStorage(context, task.work.destination.storage_id, "write");
  const { root } = storage;
  removeStaging(root, task.assignment.request_id, (request) => removeEmptyMade(root, request));
}

async function* planned(
  { task, context }: Closing,
  order: "forth" | "back",
  only?: TransferEntry["type"],
): AsyncGenerator<readonly TransferEntry[]> {
  const { pages } = task.work;
  const { request_id: id } = task.assignment;
  // Of one type there are few in most pages, and none in many.
  const atOnce = only === undefined ? 1 : MAX_PAGES_AT_ONCE;
  const rounds = Math.ceil(pages / atOnce);
  let most = atOnce;
  const ask = async (round: number): Promise<readonly TransferEntry[]> => {
    const entries: TransferEntry[] = [];
    const end = Math.min(pages, (round + 1) * atOnce);
    for (let from = round * atOnce; from < end; ) {
      const wanted = { from, count: Math.min(most, end - from), only };
      const got = await untilAnswered(() => context.hub.pages(id, wanted, task.signal), context, task.signal);
      for (const entry of got.entries) entries.push(entry);
      // An earlier hub gives one, and is not asked for more each time.
      if (got.pages < wanted.count) most = got.pages;
      from += got.pages;
    }
    return entries;
  };
  const asked: ReturnType<typeof ask>[] = [];
  for (let index = 0, next = 0; index < rounds; index++) {
    for (; next < Math.min(rounds, index + ROUNDS_AHEAD); next++) {
      const coming = ask(order === "forth" ? next : rounds - 1 - next);
      // Nobody may come to wait for it.
      coming.catch(() => undefined);
      asked.push(coming);
    }
    const entries = (await asked.shift()) ?? [];
    yield order === "forth" ? entries : entries.toReversed();
  }
}

function targetOf({ place }: Pick<Closing, "place">, path: string): readonly Buffer[] {
  const parts = splitPath(pathBytes(path));
  const target = [...place, ...parts];
  requireUnreserved(target);
  return target;
}

async function makeHardLinks(closing: Closing): Promise<void> {
  const { descent, claim, task } = closing;
  if (!task.work.preserve.includes("hardlinks") || !task.work.has_hardlinks) return;
  const temporary = { directory: claim.directory, name: Buffer.from("hardlink") };
  for await (const entries of planned(closing, "forth", "hardlink")) {
    for (const entry of entries) {
      if (entry.type !== "hardlink") continue;
      claim.requireHeld();
      try {
        const existing = descent.place(targetOf(closing, entry.target ?? ""));
        const to = descent.target(targetOf(closing, entry.path));
        const facts = lookAt(existing);
        if (facts === undefined || !facts.isFile())
          throw fault("not-found", "the file that it is a name of is not there");
        if (lookAt(to)?.ino === facts.ino) continue;
        if (lookAt(temporary) !== undefined) unlinkAt(temporary);
        linkAt(existing, temporary);
        renameAt(temporary, to);
      } catch (thrown) {
        claim.requireHeld();
        closing.failed(failureAt(entry.path, thrown));
      }
    }
  }
}

/** Holds some bytes for each entry of the plan. Says what it did. */
async function removeExtraneous(closing: Closing): Promise<string> {
  const { place, storage, task, descent } = closing;
  const wanted = new Set<string>();
  let files = 0;
  for await (const entries of planned(closing, "forth")) {
    for (const { path, type } of entries) {
      wanted.add(shortOf(path));
      if (type !== "directory") files += 1;
    }
  }
  const roots: string[] = [];
  let there = 0;
  let tooMuch = 0;
  for (const found of walkTree({ root: storage.root, place, include: [], exclude: [], preserve: PRESERVED })) {
    const path = "entry" in found ? found.entry.path : found.skipped.path;
    there += 1;
    if (there % 500 === 0) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      task.signal.throwIfAborted();
    }
    if (wanted.has(shortOf(path))) continue;
    tooMuch += 1;
    const last = roots.at(-1);
    if (last === undefined || !path.startsWith(`${last}/`)) roots.push(path);
  }
  const most = files === 0 ? 0 : Math.max(FREE_REMOVALS, Math.floor(there / 2));
  if (tooMuch > most) {
    const why = files === 0 ? "the source has no file at all: is it mounted?" : "that is more than half";
    throw fault("denied", `delete_extraneous: would remove ${tooMuch} of ${there} entries; allowed: ${most}; ${why}`);
  }
  for (const path of roots) {
    closing.claim.requireHeld();
    try {
      const { directory, name } = descent.target(targetOf(closing, path));
      removeTree(directory, name);
    } catch (thrown) {
      closing.failed(failureAt(path, thrown));
    }
  }
  return `removed ${tooMuch} that the source does not have`;
}

async function finishDirectories(closing: Closing): Promise<void> {
  const { descent, task, claim } = closing;
  for await (const entries of planned(closing, "back", "directory")) {
    claim.requireHeld();
    for (const entry of entries) {
      if (entry.type !== "directory") continue;
      const target = targetOf(closing, entry.path);
      // The root of a storage is not a copy of anything.
      if (target.length === 0) continue;
      try {
        const { runProgram, pid } = closing.context;
        const deps = { runProgram, pid, scratch: scratchOf(claim) };
        await applyAllMetadata(descent.directory(target), entry, task.work.preserve, deps);
      } catch (thrown) {
        closing.failed(failureAt(entry.path, thrown));
      }
    }
    task.signal.throwIfAborted();
  }
}

function shortOf(path: string): string {
  return createHash("sha256").update(path).digest("base64").slice(0, 20);
}

function failureAt(path: string, thrown: unknown): ResultFailure {
  const { code, message } = toFault(thrown);
  return { path, code: errnoOf(thrown) === "ENOENT" ? "not-found" : code, message: message.slice(0, 1000) };
}
