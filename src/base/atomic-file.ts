import { randomUUID } from "node:crypto";
import { closeSync, constants, openSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { link, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Clock } from "./clock.ts";
import { type DocumentFormat, parseDocument } from "./document.ts";
import { errnoOf, messageOf } from "./errors.ts";
import type { Log } from "./log.ts";

/** `x.json`, `x.json.1` (the one before it), `x.json.2`. */
export const GENERATIONS = 3;
const MAX_QUARANTINED = 5;

export function generationPath(path: string, index: number): string {
  return index === 0 ? path : `${path}.${index}`;
}

/**
 * Puts `text` in the place of the file: whole or not at all, whatever is cut off when. What was there before becomes the
 * previous generation when `keepsPrevious`. Rejects with the system's error, the old file untouched.
 */
export async function replaceFile(path: string, text: string, keepsPrevious: boolean): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    const file = await open(temporary, flags, 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (keepsPrevious) await shiftGenerations(path);
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw thrown;
  }
  await syncDirectory(dirname(path));
}

/** Linked, not moved: at no moment is there no file under the name itself. */
async function shiftGenerations(path: string): Promise<void> {
  const isAbsent = (thrown: unknown) => errnoOf(thrown) === "ENOENT";
  for (let index = GENERATIONS - 1; index >= 2; index--) {
    await rename(generationPath(path, index - 1), generationPath(path, index)).catch((thrown: unknown) => {
      if (!isAbsent(thrown)) throw thrown;
    });
  }
  const previous = generationPath(path, 1);
  await link(path, previous).catch(async (thrown: unknown) => {
    if (isAbsent(thrown)) return;
    // A file system without links: a cut here is mended by the reader, who then takes the previous generation.
    await rename(path, previous);
  });
}

/** So that names made or removed in it outlive a loss of power. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } catch (thrown) {
    // Some file systems have nothing to sync in a directory.
    if (errnoOf(thrown) !== "EINVAL") throw thrown;
  } finally {
    await directory.close();
  }
}

export interface LoadedDocument {
  /** The newest good data; undefined when there is none. */
  readonly data: unknown;
  /** Name of the file that it came from. */
  readonly source: string | undefined;
  /** The file itself is good, and worth keeping as the previous generation of the next write. */
  readonly isCurrentGood: boolean;
  /** One sentence for each file that could not be used. */
  readonly problems: readonly string[];
}

/**
 * Reads the newest good generation. Files that are damaged or of a newer release are put aside under a name that says so,
 * never overwritten. Never throws. Only for the one process that holds the lock on the directory.
 */
export function loadDocument(
  path: string,
  format: DocumentFormat,
  deps: { readonly clock: Clock; readonly log: Log },
): LoadedDocument {
  const problems: string[] = [];
  removeLeftovers(path);
  const putAside = (file: string, label: string, reason: string) => {
    const sentence = `${basename(file)} cannot be used: ${reason}`;
    problems.push(sentence);
    deps.log.error(`${sentence}; ${quarantine(file, path, label, deps.clock)}`);
  };

  let isCurrentGood = false;
  for (let index = 0; index < GENERATIONS; index++) {
    const file = generationPath(path, index);
    const text = readIfAny(file, (reason) => putAside(file, "bad", reason));
    if (text === undefined) continue;
    const parsed = parseDocument(text, format);
    if (parsed.kind === "bad") {
      putAside(file, "bad", parsed.reason);
      continue;
    }
    if (parsed.kind === "newer") {
      const reads = parsed.data === undefined ? "" : ", whose data this one understands and goes on with";
      putAside(file, `v${parsed.version}`, `a newer release wrote it (version ${parsed.version})${reads}`);
      if (parsed.data === undefined) continue;
    } else if (index === 0) {
      isCurrentGood = true;
    }
    if (index > 0) deps.log.warn(`Going on with ${basename(file)} in the place of ${basename(path)}`);
    boundQuarantine(path, deps.log);
    return { data: parsed.data, source: basename(file), isCurrentGood, problems };
  }
  boundQuarantine(path, deps.log);
  return { data: undefined, source: undefined, isCurrentGood, problems };
}

function readIfAny(file: string, onUnreadable: (reason: string) => void): string | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    return readFileSync(fd, "utf8");
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    onUnreadable(errno === "ELOOP" ? "it is a symbolic link" : messageOf(thrown));
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function quarantine(file: string, path: string, label: string, clock: Clock): string {
  const time = new Date(clock.wallMs()).toISOString().replace(/[:.]/g, "-");
  const name = `${path}.${label === "bad" ? "bad" : `bad-${label}`}-${time}-${randomUUID().slice(0, 8)}`;
  try {
    renameSync(file, name);
    return `kept as ${basename(name)}`;
  } catch (thrown) {
    return `it could not be put aside (${errnoOf(thrown) ?? messageOf(thrown)})`;
  }
}

/** Names hold the time, so that their order is their age. */
function boundQuarantine(path: string, log: Log): void {
  const aside = namesBeside(path, ".bad-").sort((left, right) => timeOf(left).localeCompare(timeOf(right)));
  for (const name of aside.slice(0, Math.max(0, aside.length - MAX_QUARANTINED))) {
    log.warn(`Removing ${name}: more than ${MAX_QUARANTINED} unusable files were kept`);
    try {
      rmSync(join(dirname(path), name), { force: true, recursive: true });
    } catch (thrown) {
      log.warn(`Could not remove ${name}: ${messageOf(thrown)}`);
    }
  }
}

function timeOf(name: string): string {
  return /\d{4}-\d\d-\d\dT.*$/.exec(name)?.[0] ?? "";
}

/** Temporary files of a process that was killed while it wrote. */
function removeLeftovers(path: string): void {
  for (const name of namesBeside(path, ".")) {
    if (!/\.[0-9a-f-]{36}\.tmp$/.test(name)) continue;
    try {
      rmSync(join(dirname(path), name), { force: true });
    } catch {
      // A disk that refuses this will refuse the next write too, and that is said.
    }
  }
}

function namesBeside(path: string, infix: string): string[] {
  try {
    return readdirSync(dirname(path)).filter((name) => name.startsWith(`${basename(path)}${infix}`));
  } catch {
    return [];
  }
}
