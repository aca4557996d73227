import { type AgentWorld, createAgentWorld } from "./agent-world.ts";
import type { ContainerDaemon } from "./container-daemon.ts";

/** A real agent whose sessions go to a real engine. */
export function createSessionWorld(
  platform: "docker" | "podman",
  daemon: Pick<ContainerDaemon, "socketPath">,
): Promise<AgentWorld> {
  return createAgentWorld({
    server: { rtmpPort: undefined },
    agentArguments: [
      ...["--sessions-platforms", platform, `--sessions-${platform}-socket`, daemon.socketPath],
      ...["--policy-images", "*", "--policy-session-mounts", "/usr"],
      ...["--sessions-idle-grace-seconds", "0"],
    ],
  });
}
