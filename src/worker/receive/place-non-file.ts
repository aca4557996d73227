import { hash } from "node:crypto";
import { errnoOf } from "../../base/errors.ts";
import { pathBytes } from "../../contract/transfer/path-text.ts";
import type { Preserved } from "../../contract/transfer/sync-request.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { fault } from "../fault.ts";
import { timeOf } from "../storage/apply-metadata.ts";
import {
  type Descent,
  lookAt,
  readLinkAt,
  renameAt,
  setLinkOwner,
  setLinkTimes,
  symlinkAt,
  unlinkAt,
} from "../storage/jail.ts";
import type { UnitClaim } from "../storage/staging.ts";

/**
 * A directory (its mode and times come when everything is in it) or a symlink, by the text that it is: nothing is made of what it leads to.
 * Answers with SHA-256 of that text, of a directory of nothing. A hard link is made when all files are there.
 */
export function placeNonFile(
  entry: TransferEntry,
  target: readonly Buffer[],
  deps: { readonly claim: UnitClaim; readonly descent: Descent; readonly preserve: readonly Preserved[] },
): string {
  const { claim, descent, preserve } = deps;
  const text = entry.type === "symlink" ? pathBytes(entry.target ?? "") : Buffer.alloc(0);
  const sha256 = hash("sha256", text, "hex");
  if (entry.type === "directory") {
    claim.requireHeld();
    try {
      descent.make(target);
    } catch (thrown) {
      if (errnoOf(thrown) !== "ENOTDIR" && errnoOf(thrown) !== "ELOOP") throw thrown;
      throw fault("denied", "a directory is to be made where the destination has something else, or a link", thrown);
    }
    return sha256;
  }
  if (entry.type !== "symlink") return sha256;
  if (text.length === 0 || text.includes(0)) throw fault("corrupt", "a symlink without a text, or with a zero byte");
  const place = descent.target(target);
  if (isSameLink(place, text)) return finish(place);
  const temporary = { directory: claim.directory, name: Buffer.from("link") };
  try {
    symlinkAt(text, temporary);
  } catch (thrown) {
    if (errnoOf(thrown) !== "EEXIST") throw thrown;
    unlinkAt(temporary);
    symlinkAt(text, temporary);
  }
  claim.requireHeld();
  renameAt(temporary, place);
  return finish(place);

  function finish(made: typeof place): string {
    if (preserve.includes("owner")) setLinkOwner(made, entry.uid, entry.gid);
    if (preserve.includes("times")) setLinkTimes(made, timeOf(entry.mtime_ns));
    return sha256;
  }
}

function isSameLink(place: Parameters<typeof lookAt>[0], text: Buffer): boolean {
  return lookAt(place)?.isSymbolicLink() === true && readLinkAt(place).equals(text);
}
