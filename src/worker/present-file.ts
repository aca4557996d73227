import { createHash } from "node:crypto";
import { closeSync, fstatSync, read } from "node:fs";
import { promisify } from "node:util";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import type { Preserved } from "../contract/transfer/sync-request.ts";
import { applyAllMetadata } from "./apply-metadata.ts";
import { fault } from "./fault.ts";
import { PIECE_BYTES } from "./frames.ts";
import { type Descent, lookAt, openFileAt, type Place } from "./jail.ts";
import { hashRange, type StagedFile } from "./staged-file.ts";
import type { XattrDeps } from "./xattrs.ts";

/** What stands at the destination already, under the name of the item and as long as it. */
export interface PresentFile {
  /** Over the item's range of it. */
  readonly sha256: string;
  /** Its range goes where the item is staged. */
  copyTo(staged: StagedFile): Promise<void>;
  /** It is the item: it only gets its metadata. Throws `source-changed` where it is not what was hashed any more. */
  keep(preserve: readonly Preserved[], deps: XattrDeps & { readonly scratch: Place }): Promise<void>;
}

const readOnce = promisify(read);

/** `undefined`: there is nothing that could be it. Never follows a link. */
export async function findPresent(
  { entry, offset, length }: CopyItem,
  target: readonly Buffer[],
  descent: Descent,
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
  const running = createHash("sha256");
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
  return {
    sha256: running.digest("hex"),
    copyTo: async (staged) => {
      const fd = open();
      try {
        const buffer = Buffer.allocUnsafe(PIECE_BYTES);
        while (staged.bytes() < length) {
          const at = staged.bytes();
          const wanted = Math.min(buffer.length, length - at);
          const { bytesRead } = await readOnce(fd, buffer, 0, wanted, offset + at);
          if (bytesRead === 0) throw fault("io", `${entry.path} became shorter at the destination`);
          const bytes = buffer.subarray(0, bytesRead);
          await staged.add({ at, length: bytesRead, isZero: false, digest: undefined, bytes });
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
