import type { RunProgram } from "../../../base/spawn.ts";

const PAGE_BYTES = 4096;
const LIMITS = { timeoutMs: 5000, maxOutputBytes: 1000 } as const;

/**
 * Gives the first bytes of a file back to its file system while others append to it (`fallocate --punch-hole`, of util-linux: Node has no
 * such call). Resolves with false where the program is missing or the file system cannot do it.
 */
export function createFileStartFreer(runProgram: RunProgram): (path: string, bytes: number) => Promise<boolean> {
  return async (path, bytes) => {
    const length = String(bytes - (bytes % PAGE_BYTES));
    const args = ["--punch-hole", "--offset", "0", "--length", length, path];
    const result = await runProgram("fallocate", args, LIMITS).catch(() => undefined);
    return result?.code === 0;
  };
}
