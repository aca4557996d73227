import { statSync } from "node:fs";

/** What was built or installed anew under the same name is another file, or of another time. */
export function fileIdentity(file: string): readonly string[] {
  const { dev, ino, mtimeMs, size } = statSync(file);
  return [file, ...[dev, ino, mtimeMs, size].map(String)];
}
