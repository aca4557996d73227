import type { WorkloadStatus } from "../src/contract/local-status.ts";
import { type AgentWorld, createAgentWorld } from "./agent-world.ts";
import type { ContainerDaemon } from "./container-daemon.ts";

/** A real agent whose sessions go to a real engine. */
export interface SessionWorld extends AgentWorld {
  untilState(id: string, state: WorkloadStatus["state"], timeoutMs?: number): Promise<WorkloadStatus>;
}

export async function createSessionWorld(
  platform: "docker" | "podman",
  daemon: Pick<ContainerDaemon, "socketPath">,
): Promise<SessionWorld> {
  const world = await createAgentWorld({
    server: { rtmpPort: undefined },
    agentArguments: [
      ...["--sessions-platforms", platform, `--sessions-${platform}-socket`, daemon.socketPath],
      ...["--policy-images", "*", "--policy-session-mounts", "/usr"],
      ...["--sessions-idle-grace-seconds", "0"],
    ],
  });
  return {
    ...world,
    untilState: (id, state, timeoutMs) =>
      world.until(
        async () => {
          const found = await world.workload(id);
          return found?.state === state ? found : undefined;
        },
        `${id} is ${state}`,
        timeoutMs,
      ),
  };
}
