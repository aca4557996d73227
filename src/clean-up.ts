import { existsSync } from "node:fs";
import { cleanupWithoutAgent } from "./agent/local-api/cleanup-without-agent.ts";
import { createRegistry } from "./agent/registry/registry.ts";
import { createProcessRuntime } from "./agent/runtime/process/linux-process-runtime.ts";
import { createStartMarks } from "./agent/start-marks/start-marks.ts";
import { STREAM_STOP_LADDER } from "./agent/workload/stream/stream-driver.ts";
import { TUNNEL_STOP_LADDER } from "./agent/workload/tunnel/tunnel-driver.ts";
import type { Clock } from "./base/clock.ts";
import type { Log } from "./base/log.ts";
import { createPidLister } from "./base/process-sweep.ts";
import { createProcessTable } from "./base/process-table.ts";
import type { Spawner } from "./base/spawn.ts";
import { acquireStateLock, type StateLock } from "./base/state-lock.ts";
import type { AgentOptions } from "./config/agent-options.ts";
import type { CleanupResult, CleanupWish } from "./contract/local-status.ts";

export interface CleanUpDeps {
  readonly clock: Clock;
  readonly spawner: Spawner;
  readonly pid: number;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Ends every process that proves to be this box's while no agent runs, and clears the records. */
export async function cleanUp(
  files: AgentOptions["files"],
  wanted: CleanupWish,
  { clock, spawner, pid, log, signal }: CleanUpDeps,
): Promise<CleanupResult> {
  const table = createProcessTable();
  const held: StateLock | undefined = existsSync(files.stateDir)
    ? await acquireStateLock(files.stateDir, {
        table,
        log,
        pid,
        nowIso: () => new Date(clock.wallMs()).toISOString(),
      })
    : undefined;
  try {
    const runtime = createProcessRuntime(
      { stateDir: files.stateDir },
      { clock, log, spawner, table, listPids: createPidLister({ table, clock, log }), place: () => undefined, signal },
    );
    const clearRecords = async () => {
      if (!existsSync(files.registry)) return;
      const registry = createRegistry({ file: files.registry }, { clock, log, signal });
      registry.clear();
      await registry.commit();
    };
    const stopLadderOf = (kind: string) => (kind === "tunnel" ? TUNNEL_STOP_LADDER : STREAM_STOP_LADDER);
    const marks = createStartMarks(files.stateDir);
    return await cleanupWithoutAgent({ runtime, stopLadderOf, clearRecords, marks }, wanted);
  } finally {
    await held?.release();
  }
}
