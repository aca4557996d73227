import { createHash } from "node:crypto";
import type { RunProgram } from "../../base/spawn.ts";
import type { WorkOf } from "../../contract/transfer/assignment.ts";
import { fault } from "../fault.ts";
import { createItemHash, isTagged } from "../wire/item-hash.ts";
import { hashRange } from "./staged-file.ts";

export type VerifyLevel = WorkOf<"copy">["verify"];

export interface VerifyDeps {
  readonly runProgram: RunProgram;
  readonly pid: number;
}

/**
 * SHA-256 of what lies on the destination, lower-case hexadecimal. `readback` reads it from the disk: `dd` asks the system to forget
 * what it holds of the file in memory, where the file system has anything below that. Rejects with `unsupported` where there is no `dd`.
 */
export async function hashStored(
  fd: number,
  range: { readonly offset: number; readonly length: number },
  level: VerifyLevel,
  deps: VerifyDeps,
): Promise<string> {
  if (level === "readback") await forgetCached(fd, deps);
  const running = createHash("sha256");
  const isThere = await hashRange(fd, range, running);
  if (!isThere) throw fault("corrupt", "what was staged is shorter than it was");
  return running.digest("hex");
}

/** A whole file as it lies there: the same, and what `ItemHash` says of it, in one pass. */
export async function proveFile(
  fd: number,
  { length, key }: { readonly length: number; readonly key: string },
  level: VerifyLevel,
  deps: VerifyDeps,
): Promise<{ readonly sha256: string; readonly digest: string }> {
  const range = { offset: 0, length };
  if (!isTagged(length)) {
    const sha256 = await hashStored(fd, range, level, deps);
    return { sha256, digest: sha256 };
  }
  const marks = createItemHash({ length, key });
  if (level === "readback") await forgetCached(fd, deps);
  const whole = createHash("sha256");
  const both = {
    update: (piece: Buffer) => {
      whole.update(piece);
      marks.update(piece);
    },
  };
  if (!(await hashRange(fd, range, both))) throw fault("corrupt", "what was staged is shorter than it was");
  return { sha256: whole.digest("hex"), digest: marks.digest() };
}

export async function forgetCached(fd: number, { runProgram, pid }: VerifyDeps): Promise<void> {
  const { code } = await runProgram("dd", [`if=/proc/${pid}/fd/${fd}`, "iflag=nocache", "count=0", "status=none"], {
    timeoutMs: 60_000,
    maxOutputBytes: 1000,
  }).catch((thrown: unknown) => {
    throw fault("unsupported", "verify: given readback; this box has no dd to ask the system with", thrown);
  });
  if (code !== 0) throw fault("io", "verify: given readback; the system did not let go of what it holds of the file");
}
