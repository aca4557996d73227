import { hash } from "node:crypto";
import { pathBytes } from "../../contract/transfer/path-text.ts";
import type { ScopedItem } from "../../contract/transfer/transfer-ticket.ts";
import { fault } from "../fault.ts";
import { type Descent, type Place, splitPath, within } from "../storage/jail.ts";
import { readSourceFileAt } from "../storage/source-file.ts";
import { requireUnreserved } from "../storage/storage.ts";
import { SMALL_BYTES, tagKeyOf } from "../wire/item-hash.ts";
import type { Want } from "../wire/link-messages.ts";
import { createPackWriter, type PackWriter } from "../wire/pack.ts";

export interface PackDeps {
  readonly items: readonly ScopedItem[];
  /** Components of the source's place in its storage. */
  readonly place: readonly Buffer[];
  readonly descent: Pick<Descent, "directory">;
  /** Of the transfer's marks. */
  readonly key: string;
  readonly takeBuffer: () => Promise<Buffer>;
  readonly release: (buffer: Buffer) => void;
  /** Sends a frame, and gives its buffer back. */
  readonly send: (buffer: Buffer, frame: Buffer) => Promise<void>;
  readonly same: (index: number, sha256: string) => void;
  readonly failed: (index: number, thrown: unknown) => Promise<void>;
}

/** Short files that are wanted whole. */
export interface PackSender {
  /** Of the wants from `at` on those of short files in one directory, as many as there is room for: how many; 0 where the first is no such file. */
  take(wants: Want["wants"], at: number): Promise<number>;
  /** Sends what is packed. */
  flush(): Promise<void>;
}

/** Reads, hashes and packs without leaving the thread: a trip to another costs more than all that is done with a short file. */
export function createPackSender(deps: PackDeps): PackSender {
  const { items, place, descent } = deps;
  const key = tagKeyOf(deps.key);
  let pack: PackWriter | undefined;
  let number = 0;

  const flush = async () => {
    if (pack === undefined) return;
    const full = pack;
    pack = undefined;
    // All were the same, or could not be read.
    if (full.files() === 0) return deps.release(full.buffer);
    await deps.send(full.buffer, full.finish({ key, number: number++ }));
  };
  const holdParent = (parent: Parent) => {
    const below = parent === undefined || parent === "" ? [] : splitPath(pathBytes(parent));
    const parts = parent === undefined ? place.slice(0, -1) : [...place, ...below];
    requireUnreserved(parts);
    return { directory: descent.directory(parts), isRoot: parts.length === 0 };
  };
  const placeOf = ({ item, parent }: SmallWant, { directory, isRoot }: ReturnType<typeof holdParent>): Place => {
    const from = parent === undefined || parent === "" ? 0 : parent.length + 1;
    const name = parent === undefined ? place.at(-1) : pathBytes(item.entry.path.slice(from));
    if (name === undefined) throw fault("denied", "the root of a storage is no file");
    if (isRoot) requireUnreserved([name]);
    return { directory, name };
  };
  const add = (into: PackWriter, { index, theirs, item }: SmallWant, from: Place) => {
    const bytes = into.next(item.length);
    readSourceFileAt(from, item.entry, { into: bytes, offset: item.offset });
    if (theirs !== "" && hash("sha256", bytes, "hex") === theirs) deps.same(index, theirs);
    else into.add(index, item.length);
  };

  return {
    take: async (wants, at) => {
      const first = smallOf(wants[at], items);
      if (first === undefined) return 0;
      const { parent } = first;
      if (pack?.hasRoom(first.item.length) === false) await flush();
      let held: ReturnType<typeof holdParent>;
      try {
        held = holdParent(parent);
      } catch (thrown) {
        await deps.failed(first.index, thrown);
        return 1;
      }
      pack ??= createPackWriter(await deps.takeBuffer());
      const into = pack;
      const failures: { readonly index: number; readonly thrown: unknown }[] = [];
      const fill = () => {
        for (let now = at; ; now++) {
          const small = smallOf(wants[now], items);
          if (small === undefined || small.parent !== parent || !into.hasRoom(small.item.length)) return now;
          try {
            add(into, small, placeOf(small, held));
          } catch (thrown) {
            failures.push({ index: small.index, thrown });
          }
        }
      };
      const isAlone = smallOf(wants[at + 1], items)?.parent !== parent;
      const next = isAlone ? fill() : within(held.directory, fill);
      for (const { index, thrown } of failures) await deps.failed(index, thrown);
      return next - at;
    },
    flush,
  };
}

interface SmallWant {
  readonly index: number;
  readonly item: ScopedItem;
  /** Hash of what the receiver has of it, or "". */
  readonly theirs: string;
  readonly parent: Parent;
}

/** The directory below the place, as path text; `undefined`: what is copied is itself a file. */
type Parent = string | undefined;

/** `undefined`: nothing that is packed. */
function smallOf(want: Want["wants"][number] | undefined, items: readonly ScopedItem[]): SmallWant | undefined {
  if (want === undefined) return undefined;
  const [index, from, theirs = ""] = want;
  const item = items[index];
  if (item === undefined || from !== 0 || item.length > SMALL_BYTES) return undefined;
  const { path } = item.entry;
  return { index, item, theirs, parent: path === "" ? undefined : path.slice(0, Math.max(0, path.lastIndexOf("/"))) };
}
