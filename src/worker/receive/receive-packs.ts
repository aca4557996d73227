import { hash } from "node:crypto";
import type { CopyItem } from "../../contract/transfer/assignment.ts";
import type { Preserved } from "../../contract/transfer/sync-request.ts";
import { firstMode } from "../storage/apply-metadata.ts";
import { within } from "../storage/jail.ts";
import { packedName, type UnitClaim } from "../storage/staging.ts";
import { tagKeyOf } from "../wire/item-hash.ts";
import { type PackedFile, readPack } from "../wire/pack.ts";
import { hashWritten, stagePacked, type WholeFile } from "./small-file.ts";
import type { VerifyLevel } from "./verify-file.ts";

export interface PackReceiverOptions {
  readonly claim: Pick<UnitClaim, "directory">;
  /** Of the transfer's marks. */
  readonly key: string;
  readonly verify: VerifyLevel;
  readonly preserve: readonly Preserved[];
}

export interface StagedPack {
  readonly staged: readonly { readonly index: number; readonly name: Buffer; readonly file: WholeFile }[];
  /** What are no whole files of which nothing is here: each is to be taken as it would have come alone. */
  readonly others: readonly PackedFile[];
  readonly broken: readonly { readonly index: number; readonly thrown: unknown }[];
}

/** Of a hash, in hexadecimal. */
const MARK_DIGITS = 64;

/**
 * Stages the files of one pack after the other, all in one go. `itemOf` tells of which item an index is, where all of that is to come. Throws `corrupt` where
 * a pack is not what was sent, or not the next one.
 */
export function createPackReceiver({ claim, verify, preserve, ...options }: PackReceiverOptions) {
  const key = tagKeyOf(options.key);
  const made = new Map<number, number>();
  let number = 0;
  return (body: Buffer, itemOf: (index: number) => CopyItem | undefined): StagedPack => {
    const { tag, files } = readPack(body, { key, number: number++ });
    // Of `transit` nobody asks for a hash of each: what stands for it is what it was held against.
    const mark = tag.toString("hex").padEnd(MARK_DIGITS, "0");
    const digestOf = (fd: number, bytes: Buffer) => {
      if (verify === "transit") return mark;
      return verify === "full" ? hashWritten(fd, bytes) : hash("sha256", bytes, "hex");
    };
    const pack = {
      staged: [] as StagedPack["staged"][number][],
      others: [] as PackedFile[],
      broken: [] as StagedPack["broken"][number][],
    };
    const seen = new Set<number>();
    within(claim.directory, () => {
      for (const one of files) {
        const { index, bytes } = one;
        // A second one of an index would take the place of the first.
        const item = seen.has(index) ? undefined : itemOf(index);
        seen.add(index);
        if (item === undefined || bytes.length !== item.length) {
          pack.others.push(one);
          continue;
        }
        try {
          const name = packedName(index);
          const what = { bytes, mode: firstMode(item.entry, preserve) };
          const file = stagePacked({ directory: claim.directory, name }, what, { digestOf, made });
          pack.staged.push({ index, name, file });
        } catch (thrown) {
          pack.broken.push({ index, thrown });
        }
      }
    });
    return pack;
  };
}
