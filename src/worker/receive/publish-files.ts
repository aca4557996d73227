import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { CopyItem } from "../../contract/transfer/assignment.ts";
import type { Preserved } from "../../contract/transfer/sync-request.ts";
import type { ResultFailure, ResultItem } from "../../contract/transfer/transfer-result.ts";
import { fault, toFault } from "../fault.ts";
import { applyAllMetadata, applyMetadata } from "../storage/apply-metadata.ts";
import { type Descent, renameAt, within } from "../storage/jail.ts";
import { scratchOf, type UnitClaim } from "../storage/staging.ts";
import { SMALL_BYTES } from "../wire/item-hash.ts";
import type { WholeFile } from "./small-file.ts";
import { proveFile, type VerifyDeps, type VerifyLevel } from "./verify-file.ts";

/** One item of which everything is staged. */
export interface WholeItem {
  readonly item: CopyItem;
  /** In the lease's directory, where it gets a name of its own. */
  readonly name: Buffer;
  /** For the journal: `itemKey`, and which file it is. Absent: it came in a pack, and either has its name soon or comes again. */
  readonly record: { readonly key: string; readonly ino: string } | undefined;
  readonly staged: WholeFile;
  /** Absent: one range of a longer file, which gets its name later. */
  readonly target: readonly Buffer[] | undefined;
}

export interface PublishDeps extends VerifyDeps {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly claim: UnitClaim;
  readonly descent: Descent;
  readonly verify: VerifyLevel;
  /** Of the transfer's marks. */
  readonly key: string;
  readonly preserve: readonly Preserved[];
  readonly done: (item: ResultItem) => void;
  readonly failed: (failure: ResultFailure) => void;
}

/** A disk that answers sooner has nothing to wait for. */
const QUICK_SYNC_MS = 0.2;

/**
 * Data on disk, then what the journal says of it, then the name: whatever is cut off when, no name has wrong bytes. Closes all
 * staged files. Rejects with `fenced`; what goes wrong with one item is that item's failure.
 */
export async function publishFiles(group: readonly WholeItem[], deps: PublishDeps): Promise<void> {
  const { claim } = deps;
  const good: { readonly whole: WholeItem; readonly sha256: string }[] = [];
  const synced = await syncAll(group, deps);
  try {
    for (const [index, whole] of group.entries()) {
      try {
        const outcome = synced[index];
        if (outcome?.status === "rejected") throw outcome.reason;
        const sha256 = isProvedByDigest(whole, deps) ? whole.staged.digest() : await proveStored(whole, deps);
        good.push({ whole, sha256 });
      } catch (thrown) {
        deps.failed(failureOf(whole.item, thrown));
      }
    }
    claim.requireHeld();
    const records = good.flatMap(({ whole: { record, item, staged } }) =>
      record === undefined ? [] : [{ ...record, bytes: item.length, sha256: staged.digest() }],
    );
    if (records.length > 0) {
      claim.journal.append(records);
      claim.journal.sync();
    }
    const named = (whole: WholeItem, sha256: string) => {
      if (whole.target !== undefined) {
        // Whoever is fenced finds nothing under this name any more.
        renameAt({ directory: claim.directory, name: whole.name }, deps.descent.target(whole.target));
      }
      const { entry, offset, length } = whole.item;
      deps.done({ path: entry.path, offset, length, sha256 });
    };
    const failed = ({ item }: WholeItem, thrown: unknown) => {
      claim.requireHeld();
      deps.failed(failureOf(item, thrown));
    };
    // What was just made has no extended attributes of its own.
    const isPlain = ({ target, item }: WholeItem) => target === undefined || item.entry.xattrs === undefined;
    within(claim.directory, () => {
      for (const { whole, sha256 } of good) {
        if (!isPlain(whole)) continue;
        try {
          applyPlain(whole, deps);
          named(whole, sha256);
        } catch (thrown) {
          failed(whole, thrown);
        }
      }
    });
    for (const { whole, sha256 } of good) {
      if (isPlain(whole)) continue;
      try {
        await applyExtended(whole, deps);
        named(whole, sha256);
      } catch (thrown) {
        failed(whole, thrown);
      }
    }
  } finally {
    for (const { staged } of group) await staged.close();
  }
}

/** Each as if it was alone: the system tells of a failed write once, and asked again it says that all is well. */
async function syncAll(
  group: readonly WholeItem[],
  { clock }: Pick<PublishDeps, "clock">,
): Promise<readonly PromiseSettledResult<void>[]> {
  const results: PromiseSettledResult<void>[] = [];
  for (const { staged, item } of group) {
    // Much to write is to wait for in any case.
    if (item.length > SMALL_BYTES) break;
    const begunMs = clock.monotonicMs();
    try {
      staged.syncNow();
      results.push({ status: "fulfilled", value: undefined });
    } catch (reason) {
      results.push({ status: "rejected", reason });
    }
    // The others wait together, elsewhere.
    if (clock.monotonicMs() - begunMs > QUICK_SYNC_MS) break;
  }
  return [...results, ...(await Promise.allSettled(group.slice(results.length).map(({ staged }) => staged.sync())))];
}

/** What came in ranges is read again once it is whole. */
function isProvedByDigest({ item, record, target }: WholeItem, { verify }: PublishDeps): boolean {
  // Of a pack each was read again when it was written.
  const isReadAgain = record === undefined && verify === "full";
  return target === undefined || verify === "transit" || item.length === 0 || isReadAgain;
}

async function proveStored({ item, staged }: WholeItem, deps: PublishDeps): Promise<string> {
  const { verify, key } = deps;
  const digest = staged.digest();
  const stored = await proveFile(staged.fd, { length: item.length, key }, verify, deps);
  if (stored.digest === digest) return stored.sha256;
  throw fault("corrupt", "what was written differs from what came over the network");
}

function applyPlain({ item, staged, target }: WholeItem, { preserve }: PublishDeps): void {
  if (target !== undefined) applyMetadata(staged.fd, item.entry, preserve, staged.mode);
}

async function applyExtended({ item, staged }: WholeItem, deps: PublishDeps): Promise<void> {
  const { claim, preserve, runProgram, pid } = deps;
  await applyAllMetadata(staged.fd, item.entry, preserve, { runProgram, pid, scratch: scratchOf(claim) });
  claim.requireHeld();
}

export function failureOf({ entry }: Pick<CopyItem, "entry">, thrown: unknown): ResultFailure {
  if (thrown instanceof AppError && thrown.code === "fenced") throw thrown;
  const { code, message } = toFault(thrown);
  return { path: entry.path, code, message: message.slice(0, 1000) };
}
