import { createHash } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import type { StoreBackup } from "../store-backup.ts";

const CHUNK_BYTES = 256 * 1024;

/** Takes the file over: its name goes at once, so that nothing is left behind whatever ends the hub. */
export async function openBackupFile(path: string, deps: { readonly onClose: () => void }): Promise<StoreBackup> {
  const file = await open(path, "r");
  try {
    await rm(path);
    const { size } = await file.stat();
    const hash = createHash("sha256");
    for await (const chunk of readChunks(file)) hash.update(chunk);
    return {
      bytes: size,
      sha256: hash.digest("hex"),
      read: () => readChunks(file),
      [Symbol.asyncDispose]: async () => {
        await file.close();
        deps.onClose();
      },
    };
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

async function* readChunks(file: FileHandle): AsyncGenerator<Uint8Array> {
  for (let position = 0; ; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
