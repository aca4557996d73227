import { type FileHandle, open } from "node:fs/promises";
import { basename, dirname } from "node:path";

/** What `sockaddr_un` holds, without the terminating zero. */
const MAX_SOCKET_PATH_BYTES = 107;

export interface SocketAddress {
  /** For `listen` and `connect`, in this process only, until `close`. */
  readonly path: string;
  close(): Promise<void>;
}

/**
 * An address for a Unix socket at a path of any length: a path too long for the kernel's structure is reached through
 * a descriptor of its directory. Rejects as `open` does when that directory is not there.
 */
export async function openSocketAddress(path: string): Promise<SocketAddress> {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return { path, close: () => Promise.resolve() };
  const directory: FileHandle = await open(dirname(path), "r");
  return { path: `/proc/self/fd/${directory.fd}/${basename(path)}`, close: () => directory.close() };
}
