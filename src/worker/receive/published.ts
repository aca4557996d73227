import { closeSync, fstatSync } from "node:fs";
import type { ResultItem } from "../../contract/transfer/transfer-result.ts";
import { fault, toFault } from "../fault.ts";
import { type Descent, openFileAt } from "../storage/jail.ts";
import type { JournalRecord } from "../storage/unit-journal.ts";

/**
 * Whether a file has its name since before a crash: it is the one that was staged, and still has the bytes that were proved then. The number
 * of a file that is gone may be another's by now, so that alone says nothing.
 */
export async function isPublished(
  { bytes, ino }: Pick<JournalRecord, "bytes" | "ino">,
  target: readonly Buffer[],
  descent: Descent,
  prove: (fd: number) => Promise<boolean>,
): Promise<boolean> {
  try {
    const fd = openFileAt(descent.place(target));
    try {
      const facts = fstatSync(fd, { bigint: true });
      if (!facts.isFile() || String(facts.ino) !== ino || facts.size !== BigInt(bytes)) return false;
      return await prove(fd);
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
