import { type BigIntStats, closeSync, fstatSync } from "node:fs";
import { pathText } from "../../contract/transfer/path-text.ts";
import type { Preserved } from "../../contract/transfer/sync-request.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import { MAX_PATH_BYTES } from "../../contract/transfer/transfer-path.ts";
import type { ResultFailure } from "../../contract/transfer/transfer-result.ts";
import { fault, toFault } from "../fault.ts";
import type { Glob } from "./glob.ts";
import { createDescent, listSortedNames, lookAt, openDirectoryAt, type Place, readLinkAt, within } from "./jail.ts";
import { generationOf } from "./source-file.ts";
import { isReserved } from "./storage.ts";

export interface WalkOptions {
  /** Root of the storage, held open. */
  readonly root: number;
  /** Of what is walked, within the storage. */
  readonly place: readonly Buffer[];
  /** Only these, below the place; a directory with all that is in it. */
  readonly only?: readonly (readonly Buffer[])[] | undefined;
  readonly include: readonly Glob[];
  readonly exclude: readonly Glob[];
  readonly preserve: readonly Preserved[];
}

export type Walked = { readonly entry: TransferEntry } | { readonly skipped: ResultFailure };

interface Walk extends WalkOptions {
  /** Of files with several names: the one that came first, as path text. */
  readonly links: Map<string, string>;
  /** Directories on the way of which nothing is told yet: where only some files are wanted, those without any are not. */
  readonly pending: TransferEntry[];
}

/** Names of a directory that are looked at together. */
const LOOKED_AT_ONCE = 64;
const WITHIN_FROM = 4;
/** In which the system counts. */
const BLOCK_BYTES = 512n;

/**
 * Everything below a place, directories before what is in them, names in the order of their bytes: the same again for who walks
 * it a second time. No link is followed. Of a whole tree it holds the names of the directories on the way, and one path for each
 * file that has several names. Throws where the place itself is not there.
 */
export function* walkTree(options: WalkOptions): Generator<Walked> {
  const descent = createDescent(options.root);
  const walk: Walk = { ...options, links: new Map(), pending: [] };
  const only = options.only === undefined ? undefined : toTree(options.only);
  try {
    if (options.place.length === 0) {
      yield* walkDirectory(walk, options.root, BEGIN, only);
      return;
    }
    const where = descent.place(options.place);
    const facts = lookAt(where);
    if (facts === undefined) throw fault("not-found", "there is nothing at this path");
    if (!facts.isDirectory()) {
      const leaf = leafOf(walk, where, facts, BEGIN);
      if (leaf !== undefined) yield leaf;
      return;
    }
    const fd = openDirectoryAt(where);
    try {
      yield* walkDirectory(walk, fd, BEGIN, only);
    } finally {
      closeSync(fd);
    }
  } finally {
    descent.close();
  }
}

/** What is wanted of a directory: by name, in latin1; `undefined`: all of it. */
type Only = Map<string, Only | undefined>;

function toTree(paths: readonly (readonly Buffer[])[]): Only | undefined {
  const root: Only = new Map();
  for (const path of paths) {
    if (path.length === 0) return undefined;
    let at = root;
    for (const [index, part] of path.entries()) {
      const name = part.toString("latin1");
      const isEnd = index === path.length - 1;
      const known = at.get(name);
      // A directory that is wanted as a whole stays so.
      if (at.has(name) && known === undefined) break;
      if (isEnd) at.set(name, undefined);
      else {
        const next: Only = known ?? new Map();
        at.set(name, next);
        at = next;
      }
    }
  }
  return root;
}

function* walkDirectory(walk: Walk, fd: number, here: Trail, only: Only | undefined): Generator<Walked> {
  walk.pending.push(entryOf(fstatSync(fd, { bigint: true }), here, "directory"));
  if (walk.include.length === 0) yield* tellPending(walk);
  let isTooLong = false;
  const names =
    only === undefined
      ? listSortedNames(fd)
      : [...only.keys()].map((name) => Buffer.from(name, "latin1")).sort(Buffer.compare);
  for (let at = 0; at < names.length; at += LOOKED_AT_ONCE) {
    const found: (Trail & { readonly name: Buffer })[] = [];
    for (const name of names.slice(at, at + LOOKED_AT_ONCE)) {
      const inner = trailOf(here, name);
      if (inner.bytes > MAX_PATH_BYTES) {
        // No text of it would be taken anywhere: its directory is named, once.
        const message = `what is in it has paths of more than ${MAX_PATH_BYTES} bytes, which cannot be copied`;
        if (!isTooLong) yield { skipped: { path: here.text, code: "denied", message } };
        isTooLong = true;
        continue;
      }
      // Only right below the storage's root is anything reserved.
      if (walk.place.length + here.texts.length === 0 && isReserved([name])) continue;
      if (walk.exclude.some((glob) => glob.matches(inner.texts))) continue;
      found.push({ ...inner, name });
    }
    for (const [index, facts] of lookAtAll(fd, found).entries()) {
      const inner = found[index];
      if (inner === undefined) continue;
      try {
        if (facts instanceof Error) throw facts;
        if (facts === undefined) {
          // Gone since it was listed, or named by somebody who was wrong.
          if (only !== undefined) throw fault("not-found", "it is not there");
          continue;
        }
        const place = { directory: fd, name: inner.name };
        if (!facts.isDirectory()) {
          const leaf = leafOf(walk, place, facts, inner);
          if (leaf === undefined) continue;
          if ("entry" in leaf && walk.pending.length > 0) yield* tellPending(walk);
          yield leaf;
          continue;
        }
        const child = openDirectoryAt(place);
        try {
          yield* walkDirectory(walk, child, inner, only?.get(inner.name.toString("latin1")));
        } finally {
          closeSync(child);
        }
      } catch (thrown) {
        const { code, message } = toFault(thrown);
        yield { skipped: { path: inner.text, code, message: message.slice(0, 1000) } };
      }
    }
  }
  if (walk.pending.at(-1)?.path === here.text) walk.pending.pop();
}

/** Together: the way to each of them costs more than the look. */
function lookAtAll(
  directory: number,
  names: readonly { readonly name: Buffer }[],
): (BigIntStats | Error | undefined)[] {
  const look = ({ name }: { readonly name: Buffer }) => {
    try {
      return lookAt({ directory, name });
    } catch (thrown) {
      return thrown instanceof Error ? thrown : new TypeError(String(thrown));
    }
  };
  return names.length < WITHIN_FROM ? names.map(look) : within(directory, () => names.map(look));
}

/** `undefined`: it is not asked for. */
function leafOf(walk: Walk, place: Place, facts: BigIntStats, here: Trail): Walked | undefined {
  const { text, texts } = here;
  if (walk.include.length > 0 && !walk.include.some((glob) => isMatched(glob, texts))) return undefined;
  if (facts.isSymbolicLink()) {
    if (!walk.preserve.includes("symlinks")) return skipped(text, "a symlink, and symlinks are not asked for");
    return { entry: { ...entryOf(facts, here, "symlink"), target: pathText(readLinkAt(place)) } };
  }
  if (!facts.isFile()) return skipped(text, `a ${kindOf(facts)}, which cannot be copied`);
  const plain = entryOf(facts, here, "file");
  const allocated = allocatedOf(facts, walk);
  const entry = allocated === undefined ? plain : { ...plain, allocated };
  if (facts.nlink < 2n || !walk.preserve.includes("hardlinks")) return { entry };
  const group = `${facts.dev}:${facts.ino}`;
  const first = walk.links.get(group);
  if (first !== undefined) return { entry: { ...entry, type: "hardlink", size: 0, target: first, link_group: group } };
  walk.links.set(group, text);
  return { entry: { ...entry, link_group: group } };
}

/** A pattern for a directory takes all below it along. */
function isMatched(glob: Glob, path: readonly string[]): boolean {
  return path.length === 0 || path.some((_, index) => glob.matches(path.slice(0, index + 1)));
}

function* tellPending({ pending }: Walk): Generator<Walked> {
  for (const entry of pending.splice(0)) yield { entry };
}

function skipped(path: string, message: string): Walked {
  return { skipped: { path, code: "unsupported", message } };
}

function entryOf(facts: BigIntStats, { text }: Trail, type: TransferEntry["type"]): TransferEntry {
  return {
    path: text,
    type,
    size: type === "file" ? Number(facts.size) : 0,
    mtime_ns: String(facts.mtimeNs),
    mode: Number(facts.mode) & 0o7777,
    uid: Number(facts.uid),
    gid: Number(facts.gid),
    generation: generationOf(facts),
  };
}

/** Bytes; `undefined` where all of it is. */
function allocatedOf({ blocks, size }: BigIntStats, { preserve }: Walk): number | undefined {
  const bytes = blocks * BLOCK_BYTES;
  return bytes < size && preserve.includes("sparse") ? Number(bytes) : undefined;
}

/** Where the walk is, below its place. */
interface Trail {
  readonly texts: readonly string[];
  /** As path text. */
  readonly text: string;
  /** Of the path. */
  readonly bytes: number;
}

const BEGIN: Trail = { texts: [], text: "", bytes: -1 };

function trailOf({ texts, text, bytes }: Trail, name: Buffer): Trail {
  const last = pathText(name);
  return { texts: [...texts, last], text: text === "" ? last : `${text}/${last}`, bytes: bytes + name.length + 1 };
}

function kindOf(facts: BigIntStats): string {
  if (facts.isFIFO()) return "pipe";
  if (facts.isSocket()) return "socket";
  return "device";
}

/** Below zero: `one` comes first. Both as path text. */
export function comparePaths(one: readonly Buffer[], other: readonly Buffer[]): number {
  const count = Math.min(one.length, other.length);
  for (let index = 0; index < count; index++) {
    const order = Buffer.compare(one[index] ?? Buffer.alloc(0), other[index] ?? Buffer.alloc(0));
    if (order !== 0) return order;
  }
  return one.length - other.length;
}
