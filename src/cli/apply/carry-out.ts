import type { HubClient } from "../../client/hub-client.ts";
import type { FleetWrite } from "./fleet-plan.ts";

/** Rejects with `conflict` when what it changes is no longer as it was seen. */
export async function carryOut(write: FleetWrite, hub: HubClient, signal: AbortSignal): Promise<void> {
  switch (write.kind) {
    case "box":
      await hub.boxes.patch(write.box, write, signal);
      return;
    case "streams":
      await hub.workloads.putAll(write.box, write, signal);
      return;
    case "rollout":
      await hub.rollouts.put(write.id, write, signal);
      return;
    case "rollout-remove":
      await hub.rollouts.remove(write.id, write, signal);
      return;
    case "rule":
      await hub.alerts.putRule(write.id, write, signal);
      return;
    case "tunnel":
      await hub.tunnels.put(write.id, write, signal);
      return;
    case "tunnel-remove":
      await hub.tunnels.remove(write.id, write, signal);
      return;
    case "session":
      await hub.sessions.put(write.id, write, signal);
      return;
    case "session-remove":
      await hub.sessions.remove(write.id, write, signal);
      return;
    case "rule-remove":
      await hub.alerts.removeRule(write.id, write, signal);
      return;
  }
}
