import { mkdirSync, realpathSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hashOfDirectory, runDirectoryCandidates } from "../../src/base/run-directory.ts";
import type { AgentStatus } from "../../src/contract/local-status.ts";
import { createAgentProcess } from "../torture/agent-process.ts";
import { findOwnProcesses } from "../torture/own-processes.ts";

/** A real agent with a state directory of its own, enrolled with the fleet by a one-time token. */
export interface FleetAgent {
  readonly boxId: string;
  status(): Promise<AgentStatus>;
  /** Process id of the workload, as the kernel shows it. */
  pidOf(workloadId: string): number | undefined;
  output(): string;
}

export interface FleetAgents extends AsyncDisposable {
  readonly all: readonly FleetAgent[];
}

export interface FleetAgentsOptions {
  /** By the id of their boxes. */
  readonly enrolmentTokens: ReadonlyMap<string, string>;
  readonly isBuilt: boolean;
}

/** Started, and nothing more: whether they have come in is theirs to say. */
export async function startFleetAgents(options: FleetAgentsOptions): Promise<FleetAgents> {
  const home = realpathSync(await mkdtemp(join(tmpdir(), "sluice-fleet-agents-")));
  await using made = new AsyncDisposableStack();
  made.defer(() => rm(home, { recursive: true, force: true, maxRetries: 5 }));
  const all = [...options.enrolmentTokens].map(([boxId, token]): FleetAgent => {
    const stateDir = join(home, boxId);
    mkdirSync(stateDir, { mode: 0o700 });
    const [runDirectory = ""] = runDirectoryCandidates(
      { stateDir, userId: process.getuid?.() ?? 0 },
      hashOfDirectory(stateDir),
    );
    const processes = findOwnProcesses({ stateDir, home: stateDir });
    const agent = createAgentProcess({
      stateDir,
      home: stateDir,
      boxId,
      fromSource: !options.isBuilt,
      environment: {
        SLUICE_LINK_ENROLMENT_TOKEN: token,
        SLUICE_REPORT_INTERVAL_SECONDS: "2",
        SSE_RETRY_DELAY: "0.2",
      },
    });
    made.defer(() => rmSync(runDirectory, { recursive: true, force: true }));
    made.defer(() => processes.sweep());
    made.defer(() => agent.end("SIGKILL"));
    agent.start();
    return {
      boxId,
      status: () => agent.status(),
      pidOf: (id) => processes.marked().find(({ workloadId, isLeader }) => isLeader && workloadId === id)?.pid,
      output: () => agent.output(),
    };
  });
  const owned = made.move();
  return { all, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
