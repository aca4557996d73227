import { createHash } from "node:crypto";
import { comparePathTexts } from "../../contract/transfer/path-order.ts";
import type { Preserved } from "../../contract/transfer/sync-request.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import {
  type Difference,
  MAX_DIFFERENCE_CHARACTERS,
  MAX_KEPT_DIFFERENCES,
  type TreeComparison,
  type TreeDifference,
} from "../../contract/transfer/tree-comparison.ts";
import { type HashedEntry, rootLine } from "./hashed-entries.ts";

export interface CompareOptions {
  /** What of an entry counts beside its kind and content. */
  readonly preserve: readonly Preserved[];
  /** One of the places is the root of its storage, which is a copy of nothing. */
  readonly isOfRoot: boolean;
}

/** Both in the order of a walk. Holds one entry of each, and what it tells. */
export async function compareTrees(
  trees: { readonly source: AsyncIterable<HashedEntry>; readonly destination: AsyncIterable<HashedEntry> },
  options: CompareOptions,
): Promise<TreeComparison> {
  const kept = createKept();
  const roots = { source: createHash("sha256"), destination: createHash("sha256") };
  const counts = { equal: 0, only_in_source: 0, only_in_destination: 0, differing: 0 };
  const [ones, others] = [trees.source[Symbol.asyncIterator](), trees.destination[Symbol.asyncIterator]()];
  const next = async (side: keyof typeof roots) => {
    const { value, done } = await (side === "source" ? ones : others).next();
    if (done === true) return undefined;
    const { entry, sha256 }: HashedEntry = value;
    if (sha256 !== undefined) roots[side].update(rootLine(entry, sha256));
    return { entry, sha256 };
  };
  let one = await next("source");
  let other = await next("destination");
  while (one !== undefined || other !== undefined) {
    const order = one === undefined ? 1 : other === undefined ? -1 : comparePathTexts(one.entry.path, other.entry.path);
    if (order < 0 && one !== undefined) {
      counts.only_in_source++;
      kept.addOnly("only-in-source", one.entry);
      one = await next("source");
    } else if (order > 0 && other !== undefined) {
      counts.only_in_destination++;
      kept.addOnly("only-in-destination", other.entry);
      other = await next("destination");
    } else if (one !== undefined && other !== undefined) {
      const found = differencesOf(one, other, options);
      if (found.length === 0) counts.equal++;
      else {
        counts.differing++;
        const message = found.map(([, text]) => text).join("; ");
        kept.add({ path: one.entry.path, differs: found.map(([what]) => what), message });
      }
      one = await next("source");
      other = await next("destination");
    }
  }
  return {
    ...counts,
    differences: kept.differences,
    source_root_hash: roots.source.digest("hex"),
    destination_root_hash: roots.destination.digest("hex"),
  };
}

function createKept() {
  const differences: TreeDifference[] = [];
  let characters = 0;
  const only: { [Side in "only-in-source" | "only-in-destination"]?: string } = {};
  const add = (difference: TreeDifference) => {
    characters += difference.path.length + difference.message.length;
    if (differences.length < MAX_KEPT_DIFFERENCES && characters <= MAX_DIFFERENCE_CHARACTERS) {
      differences.push(difference);
    }
  };
  return {
    differences,
    add,
    /** Of a directory that one side alone has, what is in it goes without saying. */
    addOnly: (side: keyof typeof only, { path, type }: TransferEntry) => {
      const above = only[side];
      if (above !== undefined && (above === "" || path.startsWith(`${above}/`))) return;
      if (type === "directory") only[side] = path;
      add({ path, differs: [side], message: `a ${type === "hardlink" ? "file" : type}` });
    },
  };
}

type Found = readonly [Difference, string];

function differencesOf(one: HashedEntry, other: HashedEntry, { preserve, isOfRoot }: CompareOptions): readonly Found[] {
  const [a, b] = [one.entry, other.entry];
  if (a.type !== b.type) {
    const isFile = (type: string) => type === "file" || type === "hardlink";
    if (!isFile(a.type) || !isFile(b.type)) return [["kind", `a ${a.type}, a ${b.type}`]];
    return [["hardlink", `${nameOf(a)}, ${nameOf(b)}`]];
  }
  if (a.type === "hardlink") {
    // Bytes and times are told of its first name.
    return a.target === b.target ? [] : [["hardlink", `${nameOf(a)}, ${nameOf(b)}`]];
  }
  const found: Found[] = [];
  if (a.type === "file") {
    if (a.size !== b.size) found.push(["content", `${a.size} bytes, ${b.size} bytes`]);
    else if (one.sha256 !== undefined && other.sha256 !== undefined && one.sha256 !== other.sha256) {
      found.push(["content", `${a.size} bytes, of another content`]);
    }
  }
  if (a.type === "symlink" && a.target !== b.target) found.push(["target", `to ${a.target}, to ${b.target}`]);
  if (a.path === "" && isOfRoot) return found;
  return [...found, ...metadataOf(a, b, preserve)];
}

/** A link has no mode of its own. Bits that make a program run as its owner are copied together with that owner alone. */
function metadataOf(a: TransferEntry, b: TransferEntry, preserve: readonly Preserved[]): readonly Found[] {
  const found: Found[] = [];
  const bits = preserve.includes("owner") ? 0o7777 : 0o1777;
  const [modeA, modeB] = [a.mode & bits, b.mode & bits];
  if (preserve.includes("mode") && a.type !== "symlink" && modeA !== modeB) {
    found.push(["mode", `mode ${modeText(modeA)}, ${modeText(modeB)}`]);
  }
  if (preserve.includes("times") && microseconds(a) !== microseconds(b)) {
    found.push(["times", `changed ${timeText(a)}, ${timeText(b)}`]);
  }
  if (preserve.includes("owner") && (a.uid !== b.uid || a.gid !== b.gid)) {
    found.push(["owner", `of ${a.uid}:${a.gid}, of ${b.uid}:${b.gid}`]);
  }
  const attributes = xattrsBetween(a.xattrs ?? {}, b.xattrs ?? {});
  if (attributes.length > 0) found.push(["xattrs", `attributes ${attributes.join(", ")}`.slice(0, 300)]);
  return found;
}

/** Names of those that are not the same. Only listed where they are asked for. */
function xattrsBetween(a: NonNullable<TransferEntry["xattrs"]>, b: typeof a): readonly string[] {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].filter((name) => a[name] !== b[name]).sort();
}

/** As exactly as a copy keeps them. */
function microseconds({ mtime_ns }: TransferEntry): bigint {
  const nanoseconds = BigInt(mtime_ns);
  return nanoseconds >= 0n ? nanoseconds / 1000n : (nanoseconds - 999n) / 1000n;
}

function timeText(entry: TransferEntry): string {
  const whole = microseconds(entry);
  const milliseconds = Number(whole / 1000n);
  if (Math.abs(milliseconds) > 8.64e15) return `${whole} µs`;
  const micro = String(((whole % 1_000_000n) + 1_000_000n) % 1_000_000n).padStart(6, "0");
  return `${new Date(Math.floor(Number(whole) / 1e6) * 1000).toISOString().slice(0, 19)}.${micro}Z`;
}

function modeText(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

function nameOf({ type, target }: TransferEntry): string {
  return type === "hardlink" ? `another name of ${target}` : "a file of its own";
}
