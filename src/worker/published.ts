import { createHash } from "node:crypto";
import { closeSync, fstatSync } from "node:fs";
import type { TransferEntry } from "../contract/transfer/transfer-entry.ts";
import type { ResultItem } from "../contract/transfer/transfer-result.ts";
import { fault, toFault } from "./fault.ts";
import { type Descent, openFileAt } from "./jail.ts";
import { hashRange } from "./staged-file.ts";
import type { JournalRecord } from "./unit-journal.ts";

/**
 * Whether a file has its name since before a crash: it is the one that was staged, and still has the bytes that were proved then. The number
 * of a file that is gone may be another's by now, so that alone says nothing.
 */
export async function isPublished(
  record: JournalRecord,
  { size }: Pick<TransferEntry, "size">,
  target: readonly Buffer[],
  descent: Descent,
): Promise<boolean> {
  if (record.bytes !== size) return false;
  try {
    const fd = openFileAt(descent.place(target));
    try {
      const facts = fstatSync(fd, { bigint: true });
      if (!facts.isFile() || String(facts.ino) !== record.ino || facts.size !== BigInt(size)) return false;
      const running = createHash("sha256");
      return (await hashRange(fd, { offset: 0, length: size }, running)) && running.digest("hex") === record.sha256;
    } finally {
      closeSync(fd);
    }
  } catch {
    // Not there, no file, or not to be read: then it has to come.
    return false;
  }
}

/** Names that were given outlive a loss of power before anybody is told of them; where that fails, none of these is told. */
export function syncNames(descent: Descent, outcome: { readonly items: ResultItem[] }, toldBefore: number): void {
  try {
    descent.sync();
  } catch (thrown) {
    outcome.items.length = toldBefore;
    const { code, message } = toFault(thrown);
    throw fault(code === "no-space" ? code : "io", `the directory of new names cannot be synced: ${message}`, thrown);
  }
}
