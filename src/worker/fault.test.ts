import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { toFault } from "./fault.ts";

it("what the system says of a name in a held directory is told by that name alone", () => {
  for (const held of ["/proc/self/fd/26", "/proc/10167/fd/26"]) {
    const thrown = Object.assign(new Error(`EACCES: permission denied, mkdir '${held}/day-1'`), { code: "EACCES" });
    expect(toFault(thrown)).toMatchObject({ code: "denied", message: "EACCES: permission denied, mkdir 'day-1'" });
  }
});

it("what is in the way is named, and no call of the system's", () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-fault-"));
  const faultOf = (act: () => void) => {
    try {
      act();
    } catch (thrown) {
      const { code, message } = toFault(thrown);
      return `${code}: ${message}`;
    }
    return undefined;
  };
  try {
    const [file, other] = [join(directory, "file"), join(directory, "directory")];
    writeFileSync(file, "");
    mkdirSync(other);
    expect(faultOf(() => renameSync(file, other))).toBe("denied: EISDIR: a directory lies where a file is to be");
    expect(faultOf(() => mkdirSync(join(file, "below")))).toBe(
      "denied: ENOTDIR: something lies there that is no directory",
    );
    expect(faultOf(() => writeFileSync(join(directory, "n".repeat(300)), ""))).toBe(
      "denied: ENAMETOOLONG: the name is longer than the file system takes",
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});
