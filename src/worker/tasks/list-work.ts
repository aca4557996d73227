import { AppError } from "../../base/errors.ts";
import { pathBytes } from "../../contract/transfer/path-text.ts";
import { MAX_PAGE_ENTRIES, type PlanPageInput } from "../../contract/transfer/plan-page.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { fault } from "../fault.ts";
import { createGlob } from "../storage/glob.ts";
import { splitPath } from "../storage/jail.ts";
import { comparePaths, walkTree } from "../storage/walk-tree.ts";
import { createXattrReader } from "./list-xattrs.ts";
import { requireStorage, type Task, type TaskContext } from "./task-context.ts";

const RETRY_MS = 1000;
/** A page may not become too large for one request, whatever the paths. */
const PAGE_CHARACTERS = 512 * 1024;
const FIRST_PAGE_ENTRIES = 64;
/** So that nothing else of this process waits long for a walk. */
const TURN_ENTRIES = 200;

/** Walks the source and tells the hub page by page, with what cannot be listed. */
export async function listWork(task: Task<"list">, context: TaskContext): Promise<void> {
  const { work, signal, assignment } = task;
  const storage = requireStorage(context, work.source.storage_id, "read");
  const resumeAfter = work.resume_after === undefined ? undefined : splitPath(pathBytes(work.resume_after));
  let page = work.next_page;
  let entries: TransferEntry[] = [];
  let characters = 0;
  let skipped: NonNullable<PlanPageInput["skipped"]> = [];
  const attributes = createXattrReader(task, storage.root, context);
  const send = async (isLast: boolean) => {
    for (const { entry, failure } of await attributes.flush()) {
      if (failure !== undefined) {
        entries.splice(entries.indexOf(entry), 1);
        skipped.push({ path: entry.path, code: "io", message: failure });
      }
    }
    const body = {
      worker_id: context.workerId,
      request_id: assignment.request_id,
      lease_id: assignment.lease_id,
      attempt: assignment.attempt,
      page,
      entries,
      skipped,
      is_last: isLast,
    };
    if (!(await untilAnswered(() => context.hub.plan(body, signal), context, signal))) {
      throw fault("fenced", "another lists it");
    }
    page += 1;
    entries = [];
    skipped = [];
    characters = 0;
  };
  const isKnown = (path: string) =>
    resumeAfter !== undefined && comparePaths(splitPath(pathBytes(path)), resumeAfter) <= 0;
  // Entries come in order: behind the last one that the hub has, none has to be looked at.
  let isBehind = resumeAfter === undefined;
  try {
    let walked = 0;
    for (const found of walkTree({
      root: storage.root,
      place: splitPath(pathBytes(work.source.path)),
      only: work.file_list?.map((path) => splitPath(pathBytes(path))),
      include: work.include.map(createGlob),
      exclude: work.exclude.map(createGlob),
      preserve: work.preserve,
    })) {
      if (++walked % TURN_ENTRIES === 0) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        signal.throwIfAborted();
      }
      if ("skipped" in found) {
        if (isKnown(found.skipped.path)) continue;
        skipped.push(found.skipped);
        characters += found.skipped.path.length + found.skipped.message.length + 100;
      } else {
        const { entry } = found;
        isBehind ||= !isKnown(entry.path);
        if (!isBehind) continue;
        entries.push(entry);
        characters += await attributes.add(entry);
        characters += entry.path.length + (entry.target?.length ?? 0) + 200;
      }
      if (Math.max(entries.length, skipped.length) >= pageEntries(page) || characters > PAGE_CHARACTERS)
        await send(false);
    }
    await send(true);
  } finally {
    attributes.close();
  }
}

/** Nobody copies anything before the first page is there; each page is a round at the hub and at the receiver, so the rest are full. */
function pageEntries(page: number): number {
  return page === 0 ? FIRST_PAGE_ENTRIES : MAX_PAGE_ENTRIES;
}

/** Rejects with what no repetition mends, and with the signal's reason. */
export async function untilAnswered<T>(
  ask: () => Promise<T>,
  { clock }: Pick<TaskContext, "clock">,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (thrown) {
      signal.throwIfAborted();
      if (!(thrown instanceof AppError) || thrown.code !== "unavailable") throw thrown;
    }
    await clock.delay(RETRY_MS, signal);
  }
}
