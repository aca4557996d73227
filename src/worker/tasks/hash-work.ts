import { createHash } from "node:crypto";
import { read } from "node:fs";
import { promisify } from "node:util";
import { pathBytes } from "../../contract/transfer/path-text.ts";
import { fault } from "../fault.ts";
import { failureOf } from "../receive/publish-files.ts";
import { forgetCached } from "../receive/verify-file.ts";
import { createDescent, splitPath } from "../storage/jail.ts";
import { openSourceFile } from "../storage/source-file.ts";
import { requireUnreserved } from "../storage/storage.ts";
import { PIECE_BYTES } from "../wire/frames.ts";
import { requireStorage, type Task, type TaskContext, type TaskOutcome } from "./task-context.ts";

const readOnce = promisify(read);

/** Hashes files where they lie. What is not what was listed, before or after it was read, is that file's failure. */
export async function hashWork(task: Task<"hash">, outcome: TaskOutcome, context: TaskContext): Promise<void> {
  const { work, signal } = task;
  const storage = requireStorage(context, work.place.storage_id, "read");
  const place = splitPath(pathBytes(work.place.path));
  const descent = createDescent(storage.root);
  const buffers = { now: Buffer.allocUnsafe(PIECE_BYTES), next: Buffer.allocUnsafe(PIECE_BYTES) };
  try {
    for (const item of work.items) {
      signal.throwIfAborted();
      const { path, size } = item.entry;
      try {
        const parts = [...place, ...splitPath(pathBytes(path))];
        requireUnreserved(parts);
        const file = openSourceFile(descent, parts, item.entry);
        try {
          if (work.verify === "readback") await forgetCached(file.fd, context);
          const sha256 = await hashFile({ fd: file.fd, path, size }, buffers, task);
          file.requireUnchanged();
          outcome.items.push({ path, offset: 0, length: size, sha256 });
        } finally {
          file.close();
        }
      } catch (thrown) {
        signal.throwIfAborted();
        outcome.failures.push(failureOf(item, thrown));
      }
    }
  } finally {
    descent.close();
  }
}

/** The next piece is read while one is hashed. */
async function hashFile(
  { fd, path, size }: { readonly fd: number; readonly path: string; readonly size: number },
  buffers: { now: Buffer; next: Buffer },
  { signal, onBytes }: Pick<Task<"hash">, "signal" | "onBytes">,
): Promise<string> {
  const hash = createHash("sha256");
  const readAt = (buffer: Buffer, at: number) => readOnce(fd, buffer, 0, Math.min(buffer.length, size - at), at);
  let reading = size === 0 ? undefined : readAt(buffers.now, 0);
  for (let at = 0; reading !== undefined; ) {
    const { bytesRead } = await reading;
    signal.throwIfAborted();
    if (bytesRead === 0) throw fault("source-changed", `${path} became shorter`);
    const piece = buffers.now.subarray(0, bytesRead);
    at += bytesRead;
    [buffers.now, buffers.next] = [buffers.next, buffers.now];
    reading = at < size ? readAt(buffers.now, at) : undefined;
    // Whatever comes of it is heard in the next turn.
    reading?.catch(() => undefined);
    hash.update(piece);
    onBytes(bytesRead);
  }
  return hash.digest("hex");
}
