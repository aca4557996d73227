import { createHash, randomUUID } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { syncFile } from "./sync-file.ts";

export interface Received {
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

/**
 * Writes what comes into a new file beside `path`, for its owner only, and puts it there once `accept` has taken it. When
 * anything rejects or throws on the way, nothing is left and what stood under the name is as it was.
 */
export async function receiveFile(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  deps: {
    readonly onBytes: (bytes: number) => void;
    readonly accept: (received: Received, part: string) => Promise<void>;
  },
): Promise<Received> {
  const part = `${path}.${randomUUID()}.part`;
  try {
    const file = await open(part, "wx", 0o600);
    const hash = createHash("sha256");
    let bytes = 0;
    try {
      for await (const chunk of chunks) {
        await file.writeFile(chunk);
        hash.update(chunk);
        bytes += chunk.length;
        deps.onBytes(bytes);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    const received = { bytes, sha256: hash.digest("hex") };
    await deps.accept(received, part);
    await rename(part, path);
    syncFile(dirname(path));
    return received;
  } catch (thrown) {
    await rm(part, { force: true });
    throw thrown;
  }
}
