import type { Clock } from "../../../base/clock.ts";
import { AppError, messageOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { objectName } from "../../../translate/kubernetes-manifests.ts";
import type { ClusterClient } from "../cluster-api/cluster-client.ts";
import type { ProcessMark, RunUsage, SessionRun, StopLadder, StopOutcome } from "../run-handle.ts";
import { toClusterEndpoints } from "./cluster-endpoints.ts";
import type { ClusterWatch, WatchedSession } from "./cluster-watch.ts";
import { createPodOutput, type WholeLogs } from "./pod-output.ts";

export interface ClusterRunParts {
  readonly namespace: string;
  readonly mark: ProcessMark;
  readonly isAdopted: boolean;
  readonly watched: WatchedSession;
}

export interface ClusterRunDeps {
  readonly client: ClusterClient;
  readonly watch: Pick<ClusterWatch, "look">;
  readonly whole: WholeLogs;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the trying, not the session. */
  readonly signal: AbortSignal;
}

/** Beyond a rung's own time, for the cluster's own steps between a wish and its end. */
const CLUSTER_MS = 5000;
/** Beyond the ladder's own time, for an API server that is away or slow. */
const PATIENCE_MS = 15_000;
const AGAIN_MS = 1000;
/** How often the end is asked for beside what the watch tells. */
const LOOK_MS = 1000;
/** The metrics are made anew every 15 s, and a cluster that has none gets none soon. */
const NO_METRICS_MS = 60_000;

export function deploymentLabel(namespace: string, workloadId: string): string {
  return `deployment ${namespace}/${objectName(workloadId)}`;
}

export function createClusterRun(parts: ClusterRunParts, deps: ClusterRunDeps): SessionRun {
  const { mark, watched, namespace } = parts;
  const { client, clock } = deps;
  const { workloadId } = mark;
  const name = objectName(workloadId);
  let isGone = false;
  let stopping: Promise<StopOutcome> | undefined;
  let measured: { readonly atMs: number; readonly cpuMs: number } = { atMs: clock.monotonicMs(), cpuMs: 0 };
  let unmeasuredUntilMs = 0;

  const exited = watched.gone.then((exit) => {
    isGone = true;
    return { ...exit, isAdopted: parts.isAdopted, atMonotonicMs: clock.monotonicMs() };
  });
  const pod = () => watched.facts().pods.find(({ metadata }) => metadata.deletionTimestamp === undefined);

  const goneWithin = async (ms: number): Promise<boolean> => {
    const untilMs = clock.monotonicMs() + ms;
    while (!isGone && clock.monotonicMs() < untilMs && !deps.signal.aborted) {
      const nap = clock.delay(Math.min(LOOK_MS, untilMs - clock.monotonicMs()), deps.signal).catch(() => undefined);
      await Promise.race([exited, nap]);
      if (!isGone) await deps.watch.look(workloadId).catch(() => undefined);
    }
    return isGone;
  };

  /** Once the API server has taken it. One that is away is asked again until it is there. */
  const insist = async (ask: () => Promise<void>): Promise<void> => {
    while (!isGone && !deps.signal.aborted) {
      try {
        await ask();
        return;
      } catch (thrown) {
        if (thrown instanceof AppError && thrown.code === "not-found") return;
        deps.log.warn(`${workloadId} cannot be stopped yet: ${messageOf(thrown)}`);
        await clock.delay(AGAIN_MS, deps.signal).catch(() => undefined);
      }
    }
  };

  /** No pod is asked for any more; each has its own time to end, which is that of the ladder's first rung. */
  const scaleDown = () => insist(() => client.merge("Deployment", name, { spec: { replicas: 0 } }));
  const removePods = () =>
    insist(async () => {
      for (const { metadata } of (await deps.watch.look(workloadId)).pods) await client.remove("Pod", metadata.name, 0);
    });

  const climb = async (ladder: StopLadder): Promise<StopOutcome> => {
    await scaleDown();
    for (const [index, { graceMs }] of ladder.entries()) {
      if (index > 0) await removePods();
      if (await goneWithin(graceMs + CLUSTER_MS)) return "gone";
    }
    return isGone ? "gone" : "unkillable";
  };

  /** Bounded, whatever the cluster does; who does not answer in time is still told when it comes back. */
  const stopWithin = async (ladder: StopLadder): Promise<StopOutcome> => {
    const limitMs = ladder.reduce((sum, { graceMs }) => sum + graceMs + CLUSTER_MS, PATIENCE_MS);
    const climbing = climb(ladder).finally(() => {
      stopping = undefined;
    });
    const over = new AbortController();
    const late = clock.delay(limitMs, over.signal).then(
      (): StopOutcome => "unkillable",
      (): StopOutcome => "unkillable",
    );
    return Promise.race([climbing, late]).finally(() => over.abort());
  };

  /** A cluster tells how fast processor time is used, not how much was. */
  const readUsage = async (): Promise<RunUsage | undefined> => {
    const nowMs = clock.monotonicMs();
    const current = pod();
    if (current === undefined || nowMs < unmeasuredUntilMs) return undefined;
    const usage = await client.usage(current.metadata.name).catch(() => undefined);
    if (usage === undefined) {
      unmeasuredUntilMs = nowMs + NO_METRICS_MS;
      return undefined;
    }
    measured = { atMs: nowMs, cpuMs: measured.cpuMs + usage.cores * (nowMs - measured.atMs) };
    return { cpuMs: measured.cpuMs, memoryBytes: usage.memoryBytes };
  };

  return {
    label: deploymentLabel(namespace, workloadId),
    platform: "kubernetes",
    instance: `${namespace}/${name}`,
    mark,
    isAdopted: parts.isAdopted,
    exited,
    canFreeze: false,
    stat: () => undefined,
    // A pod takes no signal but the one that ends it.
    signal: () => !isGone,
    // One ladder at a time.
    stop: (ladder) => {
      stopping ??= stopWithin(ladder);
      return stopping;
    },
    freeze: () => Promise.reject(new AppError("unsupported", "a cluster lets nothing stand still")),
    thaw: async () => undefined,
    isFrozen: async () => false,
    endpoints: async () => {
      const [service, ingress] = await Promise.all([client.get("Service", name), client.get("Ingress", name)]);
      return toClusterEndpoints({ service, ingress, hostIp: pod()?.status?.hostIP });
    },
    told: () => watched.facts().report,
    usage: readUsage,
    output: createPodOutput({ workloadId, pods: () => watched.facts().pods, whole: deps.whole, client }),
    networkPid: () => undefined,
  };
}
