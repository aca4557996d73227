import { realpathSync } from "node:fs";
import { resolve } from "node:path";

/** Without links; of what is not there yet, as it is written. */
export function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
