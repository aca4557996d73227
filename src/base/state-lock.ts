import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
// Its synchronous sister names no errno for a read-only disk.
import { rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { lock } from "proper-lockfile";
import { AppError, errnoOf, messageOf } from "./errors.ts";
import type { Log } from "./log.ts";
import { isLive } from "./proc-stat.ts";
import type { ProcessTable } from "./process-table.ts";

/**
 * One agent a state directory, for its whole life. Two guards:
 * - an abstract Unix socket named after the directory's device and inode: the kernel grants it to one process of the
 *   network namespace and takes it back the moment that process dies. It needs no disk;
 * - a lock in the directory itself, for whoever comes from another namespace. It is stale when its owner is proved dead
 *   by PID, start ticks and boot id, never because it is old: so it needs no heartbeat that would wear the disk.
 */
export interface StateLock {
  release(): Promise<void>;
}

export interface StateLockDeps {
  readonly table: ProcessTable;
  readonly log: Log;
  /** This process. */
  readonly pid: number;
  readonly nowIso: () => string;
}

interface Owner {
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
  readonly since: string;
}

const LOCK_NAME = "agent.lock";
const OWNER_NAME = "agent.lock.owner";
/** The library renews a lock at half its age; with a day nothing is written while an agent runs. */
const STALE_MS = 86_400_000;
const DISK_ERRORS: ReadonlySet<string | undefined> = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO"]);

/** Rejects with `conflict`, naming the owner, when another agent holds the directory. */
export async function acquireStateLock(stateDir: string, deps: StateLockDeps): Promise<StateLock> {
  const guard = await holdSocket(socketName(stateDir));
  if (guard === undefined) throw inUse(stateDir, readOwner(stateDir));
  try {
    const unlock = await lockDirectory(stateDir, deps);
    return {
      release: async () => {
        await unlock();
        await closeServer(guard);
      },
    };
  } catch (thrown) {
    await closeServer(guard);
    throw thrown;
  }
}

async function lockDirectory(stateDir: string, deps: StateLockDeps): Promise<() => Promise<void>> {
  const owner = readOwner(stateDir);
  const isDead = owner === undefined || !isAlive(owner, deps.table);
  if (!isDead && owner.pid !== deps.pid) throw inUse(stateDir, owner);
  try {
    // Whatever it is: what stands there may not have been made by an agent.
    if (isDead) await rm(join(stateDir, LOCK_NAME), { recursive: true, force: true });
    const release = await lock(stateDir, {
      lockfilePath: join(stateDir, LOCK_NAME),
      realpath: false,
      stale: STALE_MS,
      onCompromised: (error) => deps.log.warn(`The lock in ${stateDir} was tampered with: ${error.message}`),
    });
    await writeOwner(stateDir, deps);
    return async () => {
      await release().catch((thrown: unknown) => deps.log.debug(`The lock was gone already: ${messageOf(thrown)}`));
    };
  } catch (thrown) {
    if (errnoOf(thrown) === "ELOCKED") throw inUse(stateDir, readOwner(stateDir));
    if (!DISK_ERRORS.has(errnoOf(thrown))) throw thrown;
    deps.log.warn(`Cannot write a lock into ${stateDir} (${errnoOf(thrown)}): only this network namespace is guarded`);
    return async () => undefined;
  }
}

/** The directory's identity, not its name: two paths to one directory are one lock. */
function socketName(stateDir: string): string {
  const { dev, ino } = statSync(stateDir);
  return `\0sluice-agent-${createHash("sha256").update(`${dev}:${ino}`).digest("hex").slice(0, 24)}`;
}

/** `undefined` when another process holds the name. */
async function holdSocket(name: string): Promise<Server | undefined> {
  const server = createServer((connection) => connection.destroy());
  try {
    server.listen(name);
    await once(server, "listening");
    server.unref();
    return server;
  } catch (thrown) {
    if (errnoOf(thrown) === "EADDRINUSE") return undefined;
    throw thrown;
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function isAlive(owner: Owner, table: ProcessTable): boolean {
  const bootId = table.bootId();
  if (bootId !== undefined && owner.bootId !== bootId) return false;
  const stat = table.stat(owner.pid);
  return isLive(stat) && stat.startTicks === owner.startTicks;
}

async function writeOwner(stateDir: string, deps: StateLockDeps): Promise<void> {
  const owner: Owner = {
    pid: deps.pid,
    startTicks: deps.table.stat(deps.pid)?.startTicks ?? 0,
    bootId: deps.table.bootId() ?? "",
    since: deps.nowIso(),
  };
  const path = join(stateDir, OWNER_NAME);
  const temporary = `${path}.tmp`;
  await rm(temporary, { recursive: true, force: true });
  // A new file in the place of what is there: through a link it would be another's file that is written.
  writeFileSync(temporary, JSON.stringify(owner), { mode: 0o600, flag: "wx" });
  try {
    renameSync(temporary, path);
  } catch (thrown) {
    if (errnoOf(thrown) !== "EISDIR") throw thrown;
    await rm(path, { recursive: true, force: true });
    renameSync(temporary, path);
  }
}

function readOwner(stateDir: string): Owner | undefined {
  try {
    const owner: unknown = JSON.parse(readFileSync(join(stateDir, OWNER_NAME), "utf8"));
    return isOwner(owner) ? owner : undefined;
  } catch {
    return undefined;
  }
}

function isOwner(value: unknown): value is Owner {
  if (typeof value !== "object" || value === null) return false;
  const { pid, startTicks, bootId, since } = value as Record<string, unknown>;
  return (
    typeof pid === "number" && typeof startTicks === "number" && typeof bootId === "string" && typeof since === "string"
  );
}

function inUse(stateDir: string, owner: Owner | undefined): AppError {
  const who = owner === undefined ? "another agent" : `another agent (pid ${owner.pid}, since ${owner.since})`;
  return new AppError(
    "conflict",
    `state directory ${stateDir} is in use by ${who}; stop it, or give this one its own --state-dir`,
    {
      field: "stateDir",
    },
  );
}
