import { AppError } from "../base/errors.ts";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import type { Preserved } from "../contract/transfer/sync-request.ts";
import type { ResultFailure, ResultItem } from "../contract/transfer/transfer-result.ts";
import { applyAllMetadata, applyMetadata } from "./apply-metadata.ts";
import { fault, toFault } from "./fault.ts";
import { type Descent, renameAt } from "./jail.ts";
import type { StagedFile } from "./staged-file.ts";
import { itemKey, scratchOf, stagedName, type UnitClaim } from "./staging.ts";
import { proveFile, type VerifyDeps, type VerifyLevel } from "./verify-file.ts";

/** One item of which everything is staged. */
export interface WholeItem {
  readonly item: CopyItem;
  readonly staged: StagedFile;
  /** Absent: one range of a longer file, which gets its name later. */
  readonly target: readonly Buffer[] | undefined;
}

export interface PublishDeps extends VerifyDeps {
  readonly claim: UnitClaim;
  readonly descent: Descent;
  readonly verify: VerifyLevel;
  /** Of the transfer's marks. */
  readonly key: string;
  readonly preserve: readonly Preserved[];
  readonly done: (item: ResultItem) => void;
  readonly failed: (failure: ResultFailure) => void;
}

/**
 * Data on disk, then what the journal says of it, then the name: whatever is cut off when, no name has wrong bytes. Closes all
 * staged files. Rejects with `fenced`; what goes wrong with one item is that item's failure.
 */
export async function publishFiles(group: readonly WholeItem[], deps: PublishDeps): Promise<void> {
  const { claim } = deps;
  const good: { readonly whole: WholeItem; readonly sha256: string }[] = [];
  // The system tells of a failed write once: asked again it says that all is well, and the bytes are on no disk.
  const synced = await Promise.allSettled(group.map(({ staged }) => staged.sync()));
  try {
    for (const [index, whole] of group.entries()) {
      try {
        const outcome = synced[index];
        if (outcome?.status === "rejected") throw outcome.reason;
        good.push({ whole, sha256: await proveStored(whole, deps) });
      } catch (thrown) {
        deps.failed(failureOf(whole.item, thrown));
      }
    }
    claim.requireHeld();
    claim.journal.append(
      good.map(({ whole: { item, staged } }) => ({
        key: itemKey(item),
        bytes: item.length,
        sha256: staged.digest(),
        ino: staged.ino,
      })),
    );
    claim.journal.sync();
    for (const { whole, sha256 } of good) {
      try {
        await publish(whole, deps);
        const { entry, offset, length } = whole.item;
        deps.done({ path: entry.path, offset, length, sha256 });
      } catch (thrown) {
        claim.requireHeld();
        deps.failed(failureOf(whole.item, thrown));
      }
    }
  } finally {
    for (const { staged } of group) await staged.close();
  }
}

async function proveStored({ item, staged, target }: WholeItem, deps: PublishDeps): Promise<string> {
  const digest = staged.digest();
  // What came in ranges is read again once it is whole.
  if (target === undefined || deps.verify === "transit" || item.length === 0) return digest;
  const stored = await proveFile(staged.fd, { length: item.length, key: deps.key }, deps.verify, deps);
  if (stored.digest === digest) return stored.sha256;
  throw fault("corrupt", "what was written differs from what came over the network");
}

async function publish({ item, staged, target }: WholeItem, deps: PublishDeps): Promise<void> {
  if (target === undefined) return;
  const { claim, descent, preserve, runProgram, pid } = deps;
  // What was just made has none of its own.
  if (item.entry.xattrs === undefined) applyMetadata(staged.fd, item.entry, preserve);
  else await applyAllMetadata(staged.fd, item.entry, preserve, { runProgram, pid, scratch: scratchOf(claim) });
  const place = descent.target(target);
  claim.requireHeld();
  renameAt({ directory: claim.directory, name: stagedName(itemKey(item)) }, place);
}

export function failureOf({ entry }: Pick<CopyItem, "entry">, thrown: unknown): ResultFailure {
  if (thrown instanceof AppError && thrown.code === "fenced") throw thrown;
  const { code, message } = toFault(thrown);
  return { path: entry.path, code, message: message.slice(0, 1000) };
}
