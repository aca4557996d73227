import type { CopyItem } from "../../contract/transfer/assignment.ts";
import { fault, toFault } from "../fault.ts";
import { unpackBlocks } from "../wire/block-patch.ts";
import { PIECE_BYTES } from "../wire/frames.ts";
import type { PresentFile } from "./present-file.ts";
import type { Piece, StagedFile } from "./staged-file.ts";

/**
 * Puts pieces together of what lies at the destination and the blocks that came, and stages them. One at a time: their memory is used
 * again. Rejects with `corrupt` for a patch of what is not here, and with `io` where what lies there is not what was compared.
 */
export function createPatcher() {
  let memory: Buffer | undefined;
  return async (
    { present, item }: { readonly present: PresentFile | undefined; readonly item: CopyItem },
    staged: StagedFile,
    head: Piece,
  ): Promise<void> => {
    if (present?.blocks === undefined) throw fault("corrupt", "the peer patches what is not here");
    memory ??= Buffer.allocUnsafe(PIECE_BYTES);
    const bytes = memory.subarray(0, head.length);
    await present.read(bytes, head.at);
    unpackBlocks(head.bytes, bytes, present.blocks);
    try {
      await staged.add({ ...head, bytes });
    } catch (thrown) {
      if (toFault(thrown).code !== "corrupt") throw thrown;
      throw fault("io", `${item.entry.path} changed at the destination while it was compared`, thrown);
    }
  };
}
