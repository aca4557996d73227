import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";

/** The oracle: one line for everything below a place, with bytes, modes, times to the microsecond, and which names are one file. */
export function digestTree(root: string, options: { readonly times?: boolean } = {}): string[] {
  const lines: string[] = [];
  const groups = new Map<bigint, string>();
  const visit = (path: Buffer, name: string) => {
    const facts = lstatSync(path, { bigint: true });
    const time = options.times === false ? "" : ` ${facts.mtimeNs / 1000n}`;
    const mode = (facts.mode & 0o7777n).toString(8);
    if (facts.isSymbolicLink()) {
      lines.push(`${name} -> ${readlinkSync(path, { encoding: "buffer" }).toString("latin1")}${time}`);
    } else if (facts.isDirectory()) {
      lines.push(`${name}/ ${mode}${time}`);
      for (const child of readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare)) {
        const text = child.toString("latin1");
        if (name === "" && text.startsWith(".sluice-")) continue;
        visit(Buffer.concat([path, Buffer.from("/"), child]), `${name}/${text}`);
      }
    } else {
      const first = facts.nlink > 1n ? (groups.get(facts.ino) ?? name) : name;
      groups.set(facts.ino, first);
      lines.push(`${name} ${mode}${time} ${facts.size} ${hashOf(path)} ${first === name ? "" : `= ${first}`}`);
    }
  };
  visit(Buffer.from(root), "");
  return lines;
}

const buffer = Buffer.alloc(1024 * 1024);

function hashOf(path: Buffer): string {
  const hash = createHash("sha256");
  const fd = openSync(path, "r");
  for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) hash.update(buffer.subarray(0, read));
  closeSync(fd);
  return hash.digest("hex").slice(0, 16);
}
