import type { BigIntStats } from "node:fs";
import { closeSync, fstatSync, readSync } from "node:fs";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { fault } from "../fault.ts";
import { type Descent, openFileAt, type Place } from "./jail.ts";

/** Who the file is and how it was when it was looked at: `dev:ino:size:mtime_ns:ctime_ns`. */
export function generationOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}

/** The device has another number on each box that mounts it, and after a reboot. */
function withoutDevice(generation: string): string {
  return generation.slice(generation.indexOf(":") + 1);
}

/** A file of the source, held open. Throws `source-changed` when it is not what was listed. */
export interface SourceFile {
  readonly fd: number;
  requireUnchanged(): void;
  close(): void;
}

type Listed = Pick<TransferEntry, "path" | "generation">;

export function openSourceFile(descent: Descent, parts: readonly Buffer[], listed: Listed): SourceFile {
  const fd = openFileAt(descent.place(parts));
  const requireUnchanged = () => requireListed(fd, listed);
  try {
    requireUnchanged();
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
  return { fd, requireUnchanged, close: () => closeSync(fd) };
}

/**
 * Bytes of a short file, at once. It is looked at after them: who has the size and the times that were listed then had them all the time. Throws
 * `source-changed` when it is not what was listed.
 */
export function readSourceFileAt(
  place: Place,
  listed: Listed,
  { into, offset }: { readonly into: Buffer; readonly offset: number },
): void {
  const fd = openFileAt(place);
  try {
    try {
      for (let done = 0; done < into.length; ) {
        const count = readSync(fd, into, done, into.length - done, offset + done);
        // It became shorter; the look says so.
        if (count === 0) break;
        done += count;
      }
    } finally {
      // Also where it is something that cannot be read.
      requireListed(fd, listed);
    }
  } finally {
    closeSync(fd);
  }
}

function requireListed(fd: number, { path, generation }: Listed): void {
  const facts = fstatSync(fd, { bigint: true });
  const { ino, size, mtimeNs, ctimeNs } = facts;
  if (facts.isFile() && `${ino}:${size}:${mtimeNs}:${ctimeNs}` === withoutDevice(generation)) return;
  throw fault("source-changed", `${path} is not what was listed: it changed since`);
}
