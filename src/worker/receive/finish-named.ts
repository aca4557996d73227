import { closeSync } from "node:fs";
import type { CopyItem } from "../../contract/transfer/assignment.ts";
import type { Preserved } from "../../contract/transfer/sync-request.ts";
import { applyAllMetadata } from "../storage/apply-metadata.ts";
import { type Descent, openFileAt } from "../storage/jail.ts";
import { proveFile, type VerifyLevel } from "./verify-file.ts";

/** What has its name already, from before a crash, gets its metadata. Answers with the hash that is told of it. */
export async function finishNamed(
  { entry, length }: CopyItem,
  target: readonly Buffer[],
  deps: {
    readonly descent: Descent;
    readonly preserve: readonly Preserved[];
    readonly key: string;
    readonly verify: VerifyLevel;
  } & Parameters<typeof applyAllMetadata>[3],
): Promise<string> {
  const fd = openFileAt(deps.descent.target(target));
  try {
    await applyAllMetadata(fd, entry, deps.preserve, deps);
    return (await proveFile(fd, { length, key: deps.key }, deps.verify, deps)).sha256;
  } finally {
    closeSync(fd);
  }
}
