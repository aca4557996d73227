import { readFileSync } from "node:fs";

/** A file that the kernel writes while it is read, or undefined: its process is gone, it is not ours to see, or this kernel has none. */
export function readProcText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
