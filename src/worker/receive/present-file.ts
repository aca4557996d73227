import { createHash } from "node:crypto";
import { closeSync, fstatSync, read } from "node:fs";
import { promisify } from "node:util";
import type { CopyItem } from "../../contract/transfer/assignment.ts";
import type { Preserved } from "../../contract/transfer/sync-request.ts";
import { fault } from "../fault.ts";
import { applyAllMetadata } from "../storage/apply-metadata.ts";
import { type Descent, lookAt, openFileAt, type Place } from "../storage/jail.ts";
import type { XattrDeps } from "../storage/xattrs.ts";
import { type Blocks, blocksOf } from "../wire/block-patch.ts";
import { PIECE_BYTES } from "../wire/frames.ts";
import { createItemHash, isTagged } from "../wire/item-hash.ts";
import { hashRange, readPiece, type StagedFile } from "./staged-file.ts";

/** What stands at the destination already, under the name of the item. */
export interface PresentFile {
  /** Over the item's range of it, as `ItemHash` says; absent where it is not as long, so that it cannot be the same. */
  readonly digest: string | undefined;
  /** Of the whole file, where the item is all of it; else `digest`. */
  readonly sha256: string;
  /** Of the blocks that it has of the item, from `from` on. */
  readonly tags: Buffer | undefined;
  readonly blocks: Blocks | undefined;
  /** So much of the item as is there, from `at` on. */
  read(into: Buffer, at: number): Promise<void>;
  /** Its range goes where the item is staged. */
  copyTo(staged: StagedFile): Promise<void>;
  /** It is the item: it only gets its metadata. Throws `source-changed` where it is not what was hashed any more. */
  keep(preserve: readonly Preserved[], deps: XattrDeps & { readonly scratch: Place }): Promise<void>;
  /** After `read`. */
  close(): void;
}

const readOnce = promisify(read);

/** `undefined`: there is nothing that could be it, or have parts of it. Never follows a link. `from`: what is before is staged. */
export async function findPresent(
  { entry, offset, length }: CopyItem,
  target: readonly Buffer[],
  { descent, key, from }: { readonly descent: Descent; readonly key: string; readonly from: number },
): Promise<PresentFile | undefined> {
  if (length === 0) return undefined;
  const look = () => lookAt(descent.place(target));
  let before: ReturnType<typeof look>;
  try {
    before = look();
  } catch {
    return undefined;
  }
  if (before === undefined || !before.isFile()) return undefined;
  const { ino, ctimeNs } = before;
  const size = Number(before.size);
  const isAsLong = size === entry.size;
  const blocks = blocksOf({ length, key });
  // What ends within a block has nothing to compare it with, but for the item's own end.
  const there = Math.min(length, size - offset);
  const end = blocks === undefined || there === length ? there : there - (there % blocks.bytes);
  if (end <= from || (blocks === undefined && !isAsLong)) return undefined;
  const open = () => {
    const fd = openFileAt(descent.place(target));
    const facts = fstatSync(fd, { bigint: true });
    if (facts.isFile() && facts.ino === ino && facts.ctimeNs === ctimeNs) return fd;
    closeSync(fd);
    throw fault("io", `${entry.path} changed at the destination while it was compared`);
  };
  const mayBeSame = isAsLong && from === 0;
  const marks = mayBeSame ? createItemHash({ length, key }) : undefined;
  const isWhole = mayBeSame && isTagged(length) && offset === 0 && length === entry.size;
  const whole = isWhole ? createHash("sha256") : undefined;
  const tags: Buffer[] = [];
  let at = from;
  const running = {
    update: (piece: Buffer) => {
      marks?.update(piece);
      whole?.update(piece);
      if (blocks !== undefined) tags.push(blocks.tagsOf(piece, at));
      at += piece.length;
    },
  };
  try {
    const fd = open();
    try {
      if (!(await hashRange(fd, { offset: offset + from, length: end - from }, running))) return undefined;
    } finally {
      closeSync(fd);
    }
  } catch {
    // It cannot be read, or changes: then it is of no use.
    return undefined;
  }
  const digest = marks?.digest();
  let reading: number | undefined;
  return {
    digest,
    sha256: whole?.digest("hex") ?? digest ?? "",
    tags: blocks === undefined ? undefined : Buffer.concat(tags),
    blocks,
    read: async (into, position) => {
      reading ??= open();
      for (let done = 0; done < into.length; ) {
        const { bytesRead } = await readOnce(reading, into, done, into.length - done, offset + position + done);
        // The rest of the piece comes.
        if (bytesRead === 0) break;
        done += bytesRead;
      }
    },
    close: () => {
      if (reading !== undefined) closeSync(reading);
      reading = undefined;
    },
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
