import { execFile, execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const PACKAGE = resolve(import.meta.dirname, "package");
/** `e_machine` of the ELF header. */
const MACHINE = { amd64: 0x3e, arm64: 0xb7 } as const;
const problem = existsSync("/usr/bin/dpkg-deb") ? undefined : "needs dpkg-deb";

/** The one that the tests of the installed package do not build. That it runs, only such a machine can show. */
const arch = process.arch === "arm64" ? "amd64" : "arm64";

test.skipIf(problem !== undefined)(
  `the .deb for the other machine (${arch}) carries a runtime and nothing but what that machine can run${problem === undefined ? "" : ` (skipped: ${problem})`}`,
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-deb-"));
    try {
      const args = ["--arch", arch, "--only", "deb", "--quick", "--version", "1.2.3", "--out", directory];
      await promisify(execFile)(PACKAGE, args, { timeout: 150_000 });
      const deb = join(directory, `sluice_1.2.3_${arch}.deb`);
      const field = (name: string) => execFileSync("dpkg-deb", ["--field", deb, name], { encoding: "utf8" }).trim();
      expect(["Package", "Version", "Architecture"].map(field)).toEqual(["sluice", "1.2.3", arch]);
      expect(field("Depends")).toMatch(/\bffmpeg\b.*\bprocps\b/);
      expect(field("Recommends")).toMatch(/\bstunnel4\b.*\bopenssl\b/);

      const tree = join(directory, "tree");
      execFileSync("dpkg-deb", ["--raw-extract", deb, tree]);
      const programs = filesBelow(tree).filter((path) => machineOf(path) !== undefined);
      expect(programs.map((path) => path.slice(tree.length + 1))).toContain("usr/lib/sluice/bin/node");
      expect(new Set(programs.map(machineOf))).toEqual(new Set([MACHINE[arch]]));
      for (const path of [
        "usr/bin/sluice",
        "usr/lib/sluice/build/main.js",
        "lib/systemd/system/sluice-agent.service",
      ]) {
        expect(existsSync(join(tree, path)), path).toBe(true);
      }
      expect(readdirSync(join(tree, "DEBIAN")).sort()).toEqual([
        "conffiles",
        "control",
        "md5sums",
        "postinst",
        "postrm",
        "prerm",
      ]);
      expect(readFileSync(join(tree, "DEBIAN/conffiles"), "utf8").trim().split("\n")).toEqual([
        "/etc/sluice/agent.yaml",
        "/etc/sluice/hub.yaml",
      ]);
      // What the program needs of its packages is in it.
      expect(existsSync(join(tree, "usr/lib/sluice/node_modules"))).toBe(false);
      execFileSync("md5sum", ["--quiet", "--check", "DEBIAN/md5sums"], { cwd: tree });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
  180_000,
);

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).flatMap((entry) =>
    entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
  );
}

/** Undefined for anything but a little-endian ELF file. */
function machineOf(path: string): number | undefined {
  const header = Buffer.alloc(20);
  using file = openFile(path);
  if (readSync(file.fd, header, 0, header.length, 0) < header.length) return undefined;
  return header.readUInt32BE(0) === 0x7f454c46 ? header.readUInt16LE(18) : undefined;
}

function openFile(path: string): Disposable & { readonly fd: number } {
  const fd = openSync(path, "r");
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}
