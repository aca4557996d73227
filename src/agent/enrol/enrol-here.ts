import { chown, mkdir, stat } from "node:fs/promises";
import { replaceFile } from "../../base/atomic-file.ts";
import { AppError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { createProcessTable } from "../../base/process-table.ts";
import { acquireStateLock } from "../../base/state-lock.ts";
import type { AgentDeps } from "../agent-context.ts";
import { type BoxState, type EnrolWish, enrolBox } from "./enrol-box.ts";
import { createEnrolDeps } from "./open-uplink.ts";

export interface EnrolHere {
  readonly state: BoxState;
  readonly hub: string;
  readonly mustRestartAgent: boolean;
}

/**
 * `sluice enrol`: for a machine whose agent does not run, or runs without a hub. Rejects as `enrolBox` does, and with
 * `conflict` while an agent that is enrolled already holds the state directory: it alone may change its identity.
 */
export async function enrolHere(
  { stateDir, ...wish }: EnrolWish & { readonly stateDir: string },
  deps: Pick<AgentDeps, "clock" | "fetch" | "redactor" | "pid" | "clientCertificate"> & { readonly log: Log },
  signal: AbortSignal,
): Promise<EnrolHere> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const lock = await acquireStateLock(stateDir, {
    table: createProcessTable(),
    log: deps.log,
    pid: deps.pid,
    nowIso: () => new Date(deps.clock.wallMs()).toISOString(),
  }).catch((thrown: unknown) => {
    if (thrown instanceof AppError && thrown.code === "conflict") return undefined;
    throw thrown;
  });
  try {
    const enrolDeps = createEnrolDeps(stateDir, { ...deps, replace: asOwnerOf(stateDir) });
    if (lock === undefined && enrolDeps.file.current().current !== undefined) {
      throw new AppError(
        "conflict",
        "the agent that runs here is enrolled already. Stop it first (sudo systemctl stop sluice-agent; streams go on), enrol, and start it again",
      );
    }
    const state = await enrolBox(wish, enrolDeps, signal);
    const hub = enrolDeps.file.current().current?.hub ?? "";
    return { state, hub, mustRestartAgent: lock === undefined };
  } finally {
    await lock?.release();
  }
}

/** root enrols for an agent of another user, who must be able to read what it finds. */
function asOwnerOf(directory: string): typeof replaceFile {
  return async (path, text, keepsPrevious) => {
    await replaceFile(path, text, keepsPrevious);
    const [owner, written] = await Promise.all([stat(directory), stat(path)]);
    if (owner.uid !== written.uid || owner.gid !== written.gid) await chown(path, owner.uid, owner.gid);
  };
}
