import { type PublishDeps, publishFiles, type WholeItem } from "./publish-files.ts";

/** Files that get their names together: then one wait for the disk serves many. One group does while the next is gathered. */
export interface PublishGroups {
  gather(whole: WholeItem): void;
  /** Begins with what is gathered, if that is enough for a group. Rejects with what went wrong with the group before. */
  publishFull(): Promise<void>;
  /** As `publishFull`, whatever is gathered. */
  publish(): Promise<void>;
  /** Resolves when nothing is under way any more: what is gathered is closed and comes to nothing. */
  close(): Promise<void>;
  /** After `close`: throws what went wrong with the last group. */
  throwIfFailed(): void;
}

const GROUP_FILES = 64;
const GROUP_BYTES = 16 * 1024 * 1024;

export function createPublishGroups(deps: PublishDeps): PublishGroups {
  let group: WholeItem[] = [];
  let bytes = 0;
  let publishing: Promise<void> = Promise.resolve();
  let failure: { readonly reason: unknown } | undefined;
  const throwIfFailed = () => {
    if (failure !== undefined) throw failure.reason;
  };
  const publish = async () => {
    await publishing;
    throwIfFailed();
    const ready = group;
    group = [];
    bytes = 0;
    if (ready.length === 0) return;
    publishing = publishFiles(ready, deps).catch((reason: unknown) => {
      failure = { reason };
    });
  };
  return {
    gather: (whole) => {
      group.push(whole);
      bytes += whole.item.length;
    },
    publish,
    publishFull: async () => {
      if (group.length >= GROUP_FILES || bytes >= GROUP_BYTES) await publish();
    },
    close: async () => {
      await publishing;
      for (const { staged } of group) await staged.close();
    },
    throwIfFailed,
  };
}
