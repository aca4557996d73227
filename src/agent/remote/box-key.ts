import { chmodSync, readFileSync } from "node:fs";
import { replaceFile } from "../../base/atomic-file.ts";
import { AppError, errnoOf, messageOf } from "../../base/errors.ts";
import { formatRemoteKey, newRemoteKey, parseRemoteKey, publicTextOf } from "../../contract/remote/remote-key.ts";

/**
 * Reads the X25519 key by which operators of remote sessions know this box, and makes it where there is none. Resolves with its public
 * part. Rejects with `storage`; one that cannot be read is never replaced, since operators may have noted it.
 */
export async function openBoxKey(path: string): Promise<string> {
  try {
    const key = parseRemoteKey(readFileSync(path, "utf8"), path);
    chmodSync(path, 0o600);
    return publicTextOf(key);
  } catch (thrown) {
    if (thrown instanceof AppError) throw thrown;
    if (errnoOf(thrown) !== "ENOENT") {
      throw new AppError("storage", `the box's key cannot be read: ${messageOf(thrown)}`, { cause: thrown });
    }
  }
  const key = newRemoteKey();
  try {
    await replaceFile(path, formatRemoteKey(key), false);
  } catch (cause) {
    throw new AppError("storage", `the box's key cannot be written: ${messageOf(cause)}`, { cause });
  }
  return publicTextOf(key);
}
