import type { BigIntStats } from "node:fs";
import { closeSync, fstatSync } from "node:fs";
import type { TransferEntry } from "../contract/transfer/transfer-entry.ts";
import { fault } from "./fault.ts";
import { type Descent, openFileAt, type Place } from "./jail.ts";

/** Who the file is and how it was when it was looked at: `dev:ino:size:mtime_ns:ctime_ns`. */
export function generationOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(":");
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
  return openSourceFileAt(descent.place(parts), listed);
}

export function openSourceFileAt(place: Place, { path, generation }: Listed): SourceFile {
  const fd = openFileAt(place);
  const expected = withoutDevice(generation);
  const requireUnchanged = () => {
    const facts = fstatSync(fd, { bigint: true });
    const { ino, size, mtimeNs, ctimeNs } = facts;
    if (facts.isFile() && `${ino}:${size}:${mtimeNs}:${ctimeNs}` === expected) return;
    throw fault("source-changed", `${path} is not what was listed: it changed since`);
  };
  try {
    requireUnchanged();
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
  return { fd, requireUnchanged, close: () => closeSync(fd) };
}
