import { SESSION_CONTAINER } from "../../../translate/kubernetes-manifests.ts";
import type { PodObject } from "../cluster-api/cluster-answers.ts";
import type { ClusterClient } from "../cluster-api/cluster-client.ts";
import { type EngineEntry, type EngineOutput, parseEngineTime } from "../engine-output.ts";
import { type SessionContainer, sessionContainer } from "./session-container.ts";

/** Which container's log was last given to its end, of each session: what comes next has nothing missing before it. */
export type WholeLogs = Map<string, string>;

export interface PodOutputParts {
  readonly workloadId: string;
  readonly pods: () => readonly PodObject[];
  readonly whole: WholeLogs;
  readonly client: Pick<ClusterClient, "log">;
}

/** What a session writes, container after container. A reading ends with its container; the next one goes on with the next. */
export function createPodOutput({ workloadId, pods, whole, client }: PodOutputParts): EngineOutput {
  async function* readOne(
    pod: string,
    containerId: string,
    wish: { readonly sinceNs: bigint; readonly isPrevious: boolean; readonly signal: AbortSignal },
  ): AsyncGenerator<EngineEntry> {
    const { isPrevious, signal } = wish;
    const before = whole.get(workloadId);
    let isFresh = before !== undefined && before !== containerId;
    const sinceNs = isFresh ? undefined : wish.sinceNs;
    for await (const entry of await client.log(pod, SESSION_CONTAINER, { sinceNs, isPrevious, signal })) {
      yield isFresh ? { ...entry, isFresh } : entry;
      isFresh = false;
    }
    whole.set(workloadId, containerId);
  }

  return {
    instance: `deployment ${workloadId}`,
    read: async function* (sinceNs, signal) {
      const found = pods()
        .map((pod) => ({ pod: pod.metadata.name, container: sessionContainer(pod) }))
        .find(({ container }) => container !== undefined && hasRun(container));
      const { container } = found ?? {};
      if (found === undefined || container === undefined) return;
      const last = container.lastState?.terminated;
      // What it wrote before it was started again is there as long as the pod.
      if (last?.containerID !== undefined && last.containerID !== whole.get(workloadId) && isSince(last, sinceNs)) {
        yield* readOne(found.pod, last.containerID, { sinceNs, isPrevious: true, signal });
      }
      const { running, terminated } = container.state ?? {};
      const current = terminated?.containerID ?? (running == null ? undefined : container.containerID);
      if (current === undefined || (running == null && current === whole.get(workloadId))) return;
      yield* readOne(found.pod, current, { sinceNs, isPrevious: false, signal });
    },
  };
}

function hasRun({ state, lastState }: SessionContainer): boolean {
  return [state?.running, state?.terminated, lastState?.terminated].some((one) => one != null);
}

/** It may have written something after this. */
function isSince({ finishedAt }: { readonly finishedAt?: string | null | undefined }, sinceNs: bigint): boolean {
  const endNs = parseEngineTime(finishedAt ?? "");
  // Told in whole seconds.
  return endNs === undefined || endNs + 1_000_000_000n >= sinceNs;
}
