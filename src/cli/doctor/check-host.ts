import { access, constants, readFile, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf, messageOf } from "../../base/errors.ts";
import { formatBytes } from "../duration.ts";
import { type Check, fail, ok, warn } from "./check.ts";

const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";
/** systemd-timesyncd touches it when the clock has been set from the network. */
const TIMESYNC_FILE = "/run/systemd/timesync/synchronized";
const MEMORY_FILE_SYSTEMS = new Set([0x01021994, 0x858458f6]);
const LOW_BYTES = 512 * 1024 * 1024;
const EMPTY_BYTES = 32 * 1024 * 1024;

/** Permissions and room of the directory that the agent lives in. It need not exist yet. */
export async function checkStateDirectory(path: string): Promise<Check[]> {
  const found = await stat(path).catch((error: unknown) => error);
  if (found instanceof Error) {
    if (errnoOf(found) !== "ENOENT")
      return [fail("state directory", messageOf(found), "Run this as the agent's user.")];
    const parent = await nearestExisting(path);
    const canCreate = await isWritable(parent);
    const name = "state directory";
    return canCreate
      ? [ok(name, `${path} does not exist yet; the agent creates it`), ...(await checkRoom(parent))]
      : [fail(name, `${path} does not exist and ${parent} is not writable`, adviceForDirectory(path))];
  }
  if (typeof found !== "object" || found === null || !("mode" in found)) return [];
  const checks: Check[] = [];
  const mode = Number(found.mode) & 0o777;
  if (!(await isWritable(path))) {
    checks.push(fail("state directory", `${path} is not writable for this user`, adviceForDirectory(path)));
  } else if ((mode & 0o077) !== 0) {
    const advice = `Others can read stream keys there: chmod 700 ${path}`;
    checks.push(warn("state directory", `${path} has mode 0${mode.toString(8)}`, advice));
  } else checks.push(ok("state directory", `${path} is writable and private`));
  return [...checks, ...(await checkRoom(path))];
}

async function checkRoom(path: string): Promise<Check[]> {
  const { bavail, bsize, ffree, files } = await statfs(path);
  const freeBytes = bavail * bsize;
  const found = `${formatBytes(freeBytes)} free`;
  const advice = "Streams go on when it is full, but logs and records do not: free some space.";
  if (files > 0 && ffree < 100) return [fail("disk", `${ffree} inodes free`, "Too many small files: remove some.")];
  if (freeBytes < EMPTY_BYTES) return [fail("disk", found, advice)];
  if (freeBytes < LOW_BYTES) return [warn("disk", found, advice)];
  return [ok("disk", found)];
}

/**
 * Progress of streams is written once a second: that belongs into memory, not onto a flash card. `candidates` are the
 * agent's own, in its order: the first that can be made is used.
 */
export async function checkRunDirectory(candidates: readonly string[]): Promise<Check> {
  const name = "run directory";
  for (const path of candidates) {
    const place = await nearestExisting(path);
    if (!(await isWritable(place))) continue;
    const { type, bavail, bsize } = await statfs(place);
    if (MEMORY_FILE_SYSTEMS.has(type)) return ok(name, `in memory (${place}), ${formatBytes(bavail * bsize)} free`);
    const advice =
      "Progress is written there once a second, which wears flash storage: let RUNTIME_DIRECTORY be on a tmpfs.";
    return warn(name, `on a disk (${place})`, advice);
  }
  return fail(name, `none of ${candidates.join(", ")} can be written`, "Run this as the agent's user.");
}

export async function checkBootId(path = BOOT_ID_FILE): Promise<Check> {
  const text = await readFile(path, "utf8").catch(() => "");
  if (/^[0-9a-f-]{36}\s*$/.test(text)) return ok("boot id", text.trim());
  const advice = "Is /proc mounted? A reboot is then told from a restart by the uptime alone.";
  return warn("boot id", `${path} cannot be read`, advice);
}

/** Undefined where the host does not say whether its clock is synchronised. */
export async function checkClockSynchronised(path = TIMESYNC_FILE): Promise<Check | undefined> {
  const isSynchronised = await access(path).then(
    () => true,
    () => false,
  );
  return isSynchronised ? ok("clock", "synchronised (systemd-timesyncd)") : undefined;
}

/** A token file that the agent can read and others cannot. */
export async function checkTokenFile(
  path: string,
): Promise<{ readonly check: Check; readonly token: string | undefined }> {
  try {
    const token = (await readFile(path, "utf8")).trim();
    const { mode } = await stat(path);
    if (token === "") {
      return { check: fail("token", `${path} is empty`, "Put the token that the hub gave into it."), token: undefined };
    }
    const check =
      (mode & 0o004) === 0
        ? ok("token", `${path} can be read`)
        : warn("token", `every user can read ${path}`, `chmod 640 ${path}, owned by the agent's group`);
    return { check, token };
  } catch (error) {
    return { check: fail("token", messageOf(error), "Check link.tokenFile and who may read it."), token: undefined };
  }
}

async function nearestExisting(path: string): Promise<string> {
  const parent = dirname(path);
  if (parent === path) return parent;
  return stat(path).then(
    () => path,
    () => nearestExisting(parent),
  );
}

function isWritable(path: string): Promise<boolean> {
  return access(path, constants.W_OK).then(
    () => true,
    () => false,
  );
}

function adviceForDirectory(path: string): string {
  return `Create it for the agent's user: install -d -m 700 -o <user> ${path}; or choose another with --state-dir`;
}
