import { randomUUID } from "node:crypto";
import { closeSync, constants, fdatasyncSync, openSync, readFileSync, statfsSync, writeSync } from "node:fs";
import { AppError, errnoOf, messageOf } from "../../base/errors.ts";
import { storageIdSchema, type WorkerStorage } from "../../contract/transfer/worker-heartbeat.ts";
import { fault, toFault } from "../fault.ts";
import { createFileAt, linkAt, openFileAt, openRootDirectory, syncHeldDirectory, unlinkAt } from "./jail.ts";
import { STAGING_NAME } from "./staging.ts";
import { createStorageMark } from "./storage-mark.ts";

/** In the root of each storage: the same storage has the same id wherever it is mounted. */
export const IDENTITY_NAME = ".sluice-storage";

/** Of Linux; Node has no name for it. */
const O_PATH = 0o10000000;

export interface StorageOptions {
  /** Absolute. */
  readonly path: string;
  readonly read: boolean;
  readonly write: boolean;
}

/**
 * One storage, with its root held open while anybody works in it: what is mounted over it then is not it. Let go of, it is opened again by its
 * path, and is only itself with the same identity.
 */
export interface Storage extends StorageOptions {
  readonly id: string;
  /** Its root is that of a mounted file system. */
  readonly isMount: boolean;
  /** Opened if need be: throws `no-storage` where it is not there any more. Stays this number only while it is held. */
  readonly root: number;
  /** Until what it gives is called, the root stays open. */
  hold(): () => void;
  isHeld(): boolean;
  /** Lets go of the root, unless it is held: whoever administers the box may unmount it. */
  rest(): void;
  /** Leaves this worker's mark, or renews it. */
  view(): WorkerStorage;
  /** Takes the mark along. */
  close(): void;
}

/**
 * Throws `not-found`, `denied`, `read-only` (no identity, and none can be made) or `io`. An identity is made once, whoever
 * is first; not where another storage was mounted `before` and nothing is now: `no-storage`.
 */
export function openStorage(options: StorageOptions, before?: Pick<Storage, "id" | "isMount">): Storage {
  const first = openRootDirectory(options.path);
  try {
    const isMount = isMountRoot(first);
    let id = readIdentity(first, options);
    if (id === undefined && before?.isMount === true && !isMount) {
      throw fault(
        "no-storage",
        `${options.path}: the storage ${before.id} is not mounted, and what is there now has no identity`,
      );
    }
    id ??= makeIdentity(first, options);
    return createStorage(options, { id, isMount, first });
  } catch (thrown) {
    closeSync(first);
    throw thrown;
  }
}

function createStorage(
  options: StorageOptions,
  { id, isMount, first }: { readonly id: string; readonly isMount: boolean; readonly first: number },
): Storage {
  let open: number | undefined = first;
  let holders = 0;
  const rootNow = () => {
    open ??= openSame(options.path, id);
    return open;
  };
  const letGo = () => {
    if (open !== undefined) closeSync(open);
    open = undefined;
  };
  const marks = createStorageMark(rootNow, options);
  return {
    ...options,
    id,
    isMount,
    get root() {
      return rootNow();
    },
    hold: () => {
      holders++;
      let isOver = false;
      return () => {
        if (!isOver) holders--;
        isOver = true;
      };
    },
    isHeld: () => holders > 0,
    rest: () => {
      if (holders === 0) letGo();
    },
    view: () => {
      const { bsize, bavail, blocks } = statfsSync(`/proc/self/fd/${rootNow()}`);
      return {
        id,
        path: options.path,
        read: options.read,
        write: options.write,
        free_bytes: bsize * bavail,
        total_bytes: bsize * blocks,
        ...marks.renew(),
      };
    },
    close: () => {
      try {
        marks.remove();
      } catch {
        // It is not there any more: the mark is swept when it is back.
      }
      letGo();
    },
  };
}

/** Throws `no-storage` unless it is what it was: it was let go of, and anything may have been mounted or unmounted since. */
function openSame(path: string, id: string): number {
  const root = openRootDirectory(path);
  try {
    if (readIdentity(root, { path }) === id) return root;
  } catch (thrown) {
    closeSync(root);
    throw fault("no-storage", `${path}: the storage ${id} cannot be read (${toFault(thrown).message})`, thrown);
  }
  closeSync(root);
  throw fault("no-storage", `${path}: the storage ${id} is not there any more`);
}

/** Also of a directory that is bound to another place: that is on the device of what is around it. */
function isMountRoot(root: number): boolean {
  const above = openSync(`/proc/self/fd/${root}/..`, O_PATH | constants.O_DIRECTORY);
  try {
    return mountOf(root) !== mountOf(above);
  } finally {
    closeSync(above);
  }
}

function mountOf(fd: number): string | undefined {
  return /^mnt_id:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];
}

/** True for what is the storage's own, and no transfer may read or write. */
export function isReserved(parts: readonly Buffer[]): boolean {
  const first = parts[0]?.toString("latin1");
  return first === STAGING_NAME || first === IDENTITY_NAME;
}

export function requireUnreserved(parts: readonly Buffer[]): void {
  if (isReserved(parts)) throw fault("denied", `${parts[0]?.toString()} is the storage's own; allowed: another name`);
}

/** The same storage, still: its root is what is mounted there now, and says the id that it said. Throws `no-storage`. */
export function requireMounted(storage: Pick<Storage, "path" | "root" | "id">): void {
  const { path, id } = storage;
  let found: string | undefined;
  try {
    const { root } = storage;
    const now = openRootDirectory(path);
    try {
      found = readIdentity(now, { path });
    } finally {
      closeSync(now);
    }
    if (found === id && readIdentity(root, { path }) === id) return;
  } catch (thrown) {
    throw fault("no-storage", `${path}: the storage ${id} cannot be read (${toFault(thrown).message})`, thrown);
  }
  const what = found === id ? "is not there any more" : "is not what is mounted there now";
  throw fault("no-storage", `${path}: the storage ${id} ${what}`);
}

function readIdentity(root: number, { path }: Pick<StorageOptions, "path">): string | undefined {
  let fd: number;
  try {
    fd = openFileAt({ directory: root, name: Buffer.from(IDENTITY_NAME) });
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
  try {
    const parsed: unknown = JSON.parse(readFileSync(fd, "utf8"));
    const id = typeof parsed === "object" && parsed !== null && "id" in parsed ? parsed.id : undefined;
    const checked = storageIdSchema.safeParse(id);
    if (checked.success) return checked.data;
    throw new AppError("config", "no id");
  } catch (thrown) {
    throw fault(
      "io",
      `${path}/${IDENTITY_NAME} cannot be read (${messageOf(thrown)}): bring it back, or remove it and the storage gets another identity`,
      thrown,
    );
  } finally {
    closeSync(fd);
  }
}

function makeIdentity(root: number, options: StorageOptions): string {
  const { path } = options;
  const temporary = { directory: root, name: Buffer.from(`${IDENTITY_NAME}.${randomUUID()}`) };
  try {
    const fd = createFileAt(temporary);
    try {
      writeSync(fd, `${JSON.stringify({ version: 1, id: randomUUID() })}\n`);
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    try {
      // Whole, or not at all; and of several that are made at a time the first stays.
      linkAt(temporary, { directory: root, name: Buffer.from(IDENTITY_NAME) });
    } catch (thrown) {
      if (errnoOf(thrown) !== "EEXIST") throw thrown;
    } finally {
      unlinkAt(temporary);
    }
    syncHeldDirectory(root);
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === "EROFS" || errno === "EACCES" || errno === "EPERM") {
      throw fault(
        "read-only",
        `${path} has no identity, and none can be made (${errno}): put one there once, where it may be written (${IDENTITY_NAME}: {"version":1,"id":"…"})`,
        thrown,
      );
    }
    throw thrown;
  }
  const made = readIdentity(root, options);
  if (made === undefined) throw fault("io", `${path}/${IDENTITY_NAME} was made and is not there`);
  return made;
}
