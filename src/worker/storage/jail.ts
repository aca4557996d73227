import type { BigIntStats } from "node:fs";
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fsyncSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  opendirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { AppError, errnoOf } from "../../base/errors.ts";

/**
 * One name in a directory that is held open: what a path means is settled once, when the directory is opened, and no link that
 * is put in its way later leads elsewhere. Node has no calls relative to a directory: `/proc/<own pid>/fd/<fd>/<name>` is the same.
 */
export interface Place {
  readonly directory: number;
  readonly name: Buffer;
}

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_APPEND, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
const SLASH = 0x2f;
const MAX_NAME_BYTES = 255;
const MAX_PATH_BYTES = 4096;
const LISTED_AT_ONCE = 256;

/** Components of a path relative to a root; none for the root itself. Throws `denied` for one that could mean another place. */
export function splitPath(path: Buffer): Buffer[] {
  if (path.length > MAX_PATH_BYTES) {
    throw new AppError("denied", `path: given ${path.length} bytes; allowed: ${MAX_PATH_BYTES}`);
  }
  if (path.length === 0) return [];
  const parts: Buffer[] = [];
  let from = 0;
  // By hand: to look for a byte in a short name takes Node longer than the whole loop.
  for (let at = 0; at <= path.length; at++) {
    if (at < path.length && path[at] !== SLASH) continue;
    if (at === from) throw notAllowed("an empty component");
    parts.push(requireName(path.subarray(from, at)));
    from = at + 1;
  }
  return parts;
}

/** Throws `denied` for what is no plain name. The kernel itself would take `..` for the way up. */
export function requireName(name: Buffer): Buffer {
  if (name.length === 0) throw notAllowed("an empty name");
  if (name.length > MAX_NAME_BYTES) throw notAllowed(`a name of ${name.length} bytes`);
  for (let at = 0; at < name.length; at++) {
    if (name[at] === 0) throw notAllowed("a zero byte");
    if (name[at] === SLASH) throw notAllowed("a slash in a name");
  }
  if (name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e))) {
    throw notAllowed(name.toString());
  }
  return name;
}

function notAllowed(what: string): AppError {
  return new AppError("denied", `path: given ${what}; allowed: names below the storage's root`);
}

/** The configured root itself may be a link: whoever wrote the configuration meant where it leads. */
export function openRootDirectory(path: string): number {
  return openSync(path, O_RDONLY | O_DIRECTORY);
}

/** Throws the system's error: `ENOTDIR` or `ELOOP` where the name is a link. */
export function openDirectoryAt({ directory, name }: Place): number {
  return openSync(pathOf({ directory, name }), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

/** Never waits for a pipe's other end; what was opened has still to be looked at with `fstat`. */
export function openFileAt({ directory, name }: Place): number {
  return openSync(pathOf({ directory, name }), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

/** Throws `EEXIST` where anything has this name. */
export function createFileAt({ directory, name }: Place): number {
  return openSync(pathOf({ directory, name }), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
}

/** For reading and writing; made where it is not there. */
export function openStagedAt({ directory, name }: Place): number {
  return openSync(pathOf({ directory, name }), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
}

/** For reading and writing. Throws `EEXIST` where anything has this name. */
export function createStagedAt(place: Place, mode: number): number {
  return openSync(pathOf(place), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
}

/** Made where it is not there. */
export function openForAppendingAt({ directory, name }: Place): number {
  return openSync(pathOf({ directory, name }), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0o600);
}

/** False: it was there, whatever it is. */
export function makeDirectoryAt({ directory, name }: Place): boolean {
  try {
    mkdirSync(pathOf({ directory, name }), 0o700);
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === "EEXIST") return false;
    throw thrown;
  }
}

export function renameAt(from: Place, to: Place): void {
  renameSync(pathOf(from), pathOf(to));
}

export function unlinkAt({ directory, name }: Place): void {
  unlinkSync(pathOf({ directory, name }));
}

export function removeDirectoryAt({ directory, name }: Place): void {
  rmdirSync(pathOf({ directory, name }));
}

export function symlinkAt(target: Buffer, { directory, name }: Place): void {
  symlinkSync(target, pathOf({ directory, name }));
}

/** A link to a link is one to the link, not to what it leads to. */
export function linkAt(existing: Place, to: Place): void {
  linkSync(pathOf(existing), pathOf(to));
}

export function readLinkAt({ directory, name }: Place): Buffer {
  return readlinkSync(pathOf({ directory, name }), { encoding: "buffer" });
}

/** `undefined` where there is nothing. Of a link: the link itself. */
export function lookAt({ directory, name }: Place): BigIntStats | undefined {
  return lstatSync(pathOf({ directory, name }), { bigint: true, throwIfNoEntry: false });
}

/** In no order. */
export function listNames(directory: number): Buffer[] {
  return readdirSync(heldPath(directory), { encoding: "buffer" });
}

/** In the order of their bytes. As text they are made and sorted in half the time. */
export function listSortedNames(directory: number): Buffer[] {
  const names = readdirSync(heldPath(directory), { encoding: "latin1" });
  return names.sort().map((name) => Buffer.from(name, "latin1"));
}

/** As latin1 text, or `undefined` where there are more than `most`. */
export function listFewNames(directory: number, most: number): Set<string> | undefined {
  const names = new Set<string>();
  const open = opendirSync(heldPath(directory), { encoding: "latin1", bufferSize: LISTED_AT_ONCE });
  try {
    for (let entry = open.readSync(); entry !== null; entry = open.readSync()) {
      if (names.size === most) return undefined;
      names.add(entry.name);
    }
    return names;
  } finally {
    open.closeSync();
  }
}

/** Of a link: the link's own. Others' are set through what holds them open, which cannot be exchanged. */
export function setLinkTimes({ directory, name }: Place, time: number | Date): void {
  lutimesSync(pathOf({ directory, name }), time, time);
}

export function setLinkOwner({ directory, name }: Place, uid: number, gid: number): void {
  lchownSync(pathOf({ directory, name }), uid, gid);
}

export { closeSync as closeHeld, fchmodSync as setMode, fchownSync as setOwner };

/** So that names that were made or removed in it outlive a loss of power. */
export function syncHeldDirectory(directory: number): void {
  try {
    fsyncSync(directory);
  } catch (thrown) {
    // Some file systems have nothing to sync in a directory.
    if (errnoOf(thrown) !== "EINVAL") throw thrown;
  }
}

let descriptors: string | undefined;

/** Of a directory that is held open. Under its number, as this `/proc` counts, the process is found sooner than as `self`. */
function heldPath(directory: number): string {
  descriptors ??= `/proc/${readlinkSync("/proc/self")}/fd`;
  return `${descriptors}/${directory}`;
}

/** What `within` is in. */
let entered: number | undefined;
/** Of the last directory: most names of a lease are in one. */
let wayOf: { readonly directory: number; readonly bytes: Buffer } | undefined;

/**
 * Meanwhile names in this directory are told to the system alone, as by `openat`: the way through `/proc` costs more than most calls on a small file.
 * `work` must neither wait nor close the directory, because the working directory is the whole process's.
 */
export function within<Answer>(directory: number, work: () => Answer): Answer {
  if (entered !== undefined) return work();
  const before = process.cwd();
  process.chdir(heldPath(directory));
  entered = directory;
  try {
    return work();
  } finally {
    entered = undefined;
    process.chdir(before);
  }
}

/** For the system's own calls that take two paths. */
export function pathOf({ directory, name }: Place): Buffer {
  if (directory === entered) return requireName(name);
  if (wayOf?.directory !== directory) wayOf = { directory, bytes: Buffer.from(`${heldPath(directory)}/`, "latin1") };
  return Buffer.concat([wayOf.bytes, requireName(name)]);
}

/** Directories below one root, each opened component by component and held while work goes on in it. */
export interface Descent {
  /** Throws the system's error where it is not there, or where a link is in the way. */
  directory(parts: readonly Buffer[]): number;
  /** The same; what is missing on the way is made, with mode 0700. */
  make(parts: readonly Buffer[]): number;
  /** Where the last component is, or would be. Throws `denied` for the root itself. */
  place(parts: readonly Buffer[]): Place;
  /** The same; directories on the way are made, and the one that holds the name is synced by the next `sync`. */
  target(parts: readonly Buffer[]): Place;
  /** It was not there before, and was made here: what lies in it by now has come since. */
  isMade(parts: readonly Buffer[]): boolean;
  /** So that every name that was made since outlives a loss of power. */
  sync(): void;
  close(): void;
}

/** Held at a time by one piece of work. */
const MAX_HELD = 64;

/** `onMade` hears of each directory that it makes, which is held open meanwhile. */
export function createDescent(
  root: number,
  onMade: (parts: readonly Buffer[], directory: number) => void = () => undefined,
): Descent {
  const held = new Map<string, number>();
  const changed = new Map<string, readonly Buffer[]>();
  const made = new Set<string>();

  /** That the last place was in. Whoever asks with the same buffers asks for the same directory, without a look at their bytes. */
  let last: { readonly parent: readonly Buffer[]; readonly directory: number; isChanged: boolean } | undefined;

  const makeRoom = () => {
    if (held.size < MAX_HELD) return;
    last = undefined;
    for (const [key, fd] of [...held].slice(0, MAX_HELD / 2)) {
      closeSync(fd);
      held.delete(key);
    }
  };
  /** The component at `index`. */
  const step = (
    place: Place,
    makes: boolean,
    { parts, index }: { readonly parts: readonly Buffer[]; readonly index: number },
  ) => {
    // Looked at before, because an error takes longer to be made than all of these calls together.
    const isMissing = makes && (made.has(keyOf(parts, index)) || lookAt(place) === undefined);
    const isMade = isMissing && makeDirectoryAt(place);
    if (isMade) {
      changed.set(keyOf(parts, index), parts.slice(0, index));
      made.add(keyOf(parts, index + 1));
    }
    const directory = openDirectoryAt(place);
    if (isMade) onMade(parts.slice(0, index + 1), directory);
    return directory;
  };
  const walk = (parts: readonly Buffer[], makes: boolean): number => {
    if (parts.length === 0) return root;
    const whole = keyOf(parts, parts.length);
    const known = held.get(whole);
    if (known !== undefined) return known;
    makeRoom();
    let depth = parts.length - 1;
    while (depth > 0 && !held.has(keyOf(parts, depth))) depth--;
    let directory = depth === 0 ? root : (held.get(keyOf(parts, depth)) ?? root);
    let passing: number | undefined;
    try {
      for (const [index, name] of parts.entries()) {
        if (index < depth) continue;
        const next = step({ directory, name }, makes, { parts, index });
        if (passing !== undefined) closeSync(passing);
        passing = next;
        directory = next;
        // Its neighbours are in the same one.
        if (index !== parts.length - 2) continue;
        held.set(keyOf(parts, index + 1), next);
        passing = undefined;
      }
    } catch (thrown) {
      if (passing !== undefined) closeSync(passing);
      throw thrown;
    }
    held.set(whole, directory);
    return directory;
  };
  const placeIn = (parts: readonly Buffer[], makes: boolean): Place => {
    const name = parts.at(-1);
    if (name === undefined) throw new AppError("denied", "path: given the storage's root; allowed: what lies below it");
    if (last === undefined || !isIn(parts, last.parent)) {
      const parent = parts.slice(0, -1);
      last = { parent, directory: walk(parent, makes), isChanged: false };
    }
    const { parent, directory } = last;
    if (makes && !last.isChanged) changed.set(keyOf(parent, parent.length), parent);
    last.isChanged ||= makes;
    return { directory, name };
  };

  return {
    directory: (parts) => walk(parts, false),
    make: (parts) => walk(parts, true),
    place: (parts) => placeIn(parts, false),
    target: (parts) => placeIn(parts, true),
    isMade: (parts) => made.has(keyOf(parts, parts.length)),
    sync: () => {
      for (const parts of changed.values()) syncHeldDirectory(walk(parts, false));
      changed.clear();
      last = undefined;
    },
    close: () => {
      last = undefined;
      for (const fd of held.values()) closeSync(fd);
      held.clear();
    },
  };
}

/** Whether a path is known to be one name below `parent`, because it begins with the very same buffers. */
export function isIn(parts: readonly Buffer[], parent: readonly Buffer[]): boolean {
  if (parts.length !== parent.length + 1) return false;
  for (let index = parent.length - 1; index >= 0; index--) if (parts[index] !== parent[index]) return false;
  return true;
}

/** `/` is in no name. */
function keyOf(parts: readonly Buffer[], count: number): string {
  let key = "";
  for (let index = 0; index < count; index++) key += `/${parts[index]?.toString("latin1") ?? ""}`;
  return key;
}
