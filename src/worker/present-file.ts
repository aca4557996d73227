import { createHash } from "node:crypto";
import { closeSync, fstatSync } from "node:fs";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import type { Preserved } from "../contract/transfer/sync-request.ts";
import { applyAllMetadata } from "./apply-metadata.ts";
import { fault } from "./fault.ts";
import { PIECE_BYTES } from "./frames.ts";
import { createItemHash, isTagged } from "./item-hash.ts";
import { type Descent, lookAt, openFileAt, type Place } from "./jail.ts";
import { hashRange, readPiece, type StagedFile } from "./staged-file.ts";
import type { XattrDeps } from "./xattrs.ts";

/** What stands at the destination already, under the name of the item and as long as it. */
export interface PresentFile {
  /** Over the item's range of it, as `ItemHash` says. */
  readonly digest: string;
  /** Of the whole file, where the item is all of it; else `digest`. */
  readonly sha256: string;
  /** Its range goes where the item is staged. */
  copyTo(staged: StagedFile): Promise<void>;
  /** It is the item: it only gets its metadata. Throws `source-changed` where it is not what was hashed any more. */
  keep(preserve: readonly Preserved[], deps: XattrDeps & { readonly scratch: Place }): Promise<void>;
}

/** `undefined`: there is nothing that could be it. Never follows a link. */
export async function findPresent(
  { entry, offset, length }: CopyItem,
  target: readonly Buffer[],
  { descent, key }: { readonly descent: Descent; readonly key: string },
): Promise<PresentFile | undefined> {
  if (length === 0) return undefined;
  const look = () => lookAt(descent.place(target));
  let before: ReturnType<typeof look>;
  try {
    before = look();
  } catch {
    return undefined;
  }
  if (before === undefined || !before.isFile() || before.size !== BigInt(entry.size)) return undefined;
  const { ino, ctimeNs } = before;
  const open = () => {
    const fd = openFileAt(descent.place(target));
    const facts = fstatSync(fd, { bigint: true });
    if (facts.isFile() && facts.ino === ino && facts.ctimeNs === ctimeNs) return fd;
    closeSync(fd);
    throw fault("io", `${entry.path} changed at the destination while it was compared`);
  };
  const marks = createItemHash({ length, key });
  const whole = isTagged(length) && offset === 0 && length === entry.size ? createHash("sha256") : undefined;
  const running = {
    update: (piece: Buffer) => {
      marks.update(piece);
      whole?.update(piece);
    },
  };
  try {
    const fd = open();
    try {
      if (!(await hashRange(fd, { offset, length }, running))) return undefined;
    } finally {
      closeSync(fd);
    }
  } catch {
    // It cannot be read, or changes: then it is of no use.
    return undefined;
  }
  const digest = marks.digest();
  return {
    digest,
    sha256: whole?.digest("hex") ?? digest,
    copyTo: async (staged) => {
      const fd = open();
      try {
        const buffer = Buffer.allocUnsafe(PIECE_BYTES);
        while (staged.bytes() < length) {
          const at = staged.bytes();
          const bytes = buffer.subarray(0, Math.min(buffer.length, length - at));
          if (!(await readPiece(fd, bytes, offset + at)))
            throw fault("io", `${entry.path} became shorter at the destination`);
          await staged.add({ at, length: bytes.length, isZero: false, digest: undefined, bytes });
        }
      } finally {
        closeSync(fd);
      }
    },
    keep: async (preserve, deps) => {
      const fd = open();
      try {
        await applyAllMetadata(fd, entry, preserve, deps);
      } finally {
        closeSync(fd);
      }
    },
  };
}
