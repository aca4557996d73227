import type { Clock } from "../../../base/clock.ts";
import type { Log } from "../../../base/log.ts";
import { createTurns } from "../../../base/turns.ts";
import { type ClusterPlace, OWNER_LABEL, SESSION_LABEL } from "../../../translate/kubernetes-manifests.ts";
import type { PlatformLink } from "../attended-engine.ts";
import type { ClusterAccess } from "../cluster-api/cluster-access.ts";
import { createClusterClient } from "../cluster-api/cluster-client.ts";
import type { ProcessMark, SessionRun } from "../run-handle.ts";
import type { FoundRun } from "../workload-runtime.ts";
import { sessionOf } from "./cluster-facts.ts";
import { createClusterRun, deploymentLabel } from "./cluster-run.ts";
import { createClusterWatch } from "./cluster-watch.ts";
import type { WholeLogs } from "./pod-output.ts";
import { removeSession, startDeployment } from "./start-deployment.ts";

export interface ClusterEngineOptions {
  /** `Kubernetes (/etc/rancher/k3s/k3s.yaml)`. */
  readonly title: string;
  /** Of this box: what its objects are found by. */
  readonly owner: string;
  readonly place: ClusterPlace;
}

export interface ClusterEngineDeps {
  readonly clock: Clock;
  readonly access: ClusterAccess;
  readonly log: Log;
  /** Ends the watching, not the sessions. */
  readonly signal: AbortSignal;
}

/** At boot the streams wait for it. */
const SWEEP_LIMIT_MS = 3000;
const PING_MS = 10_000;
const PING_LIMIT_MS = 10_000;
const LEFTOVERS = ["Deployment", "Ingress", "Service", "Secret", "PersistentVolumeClaim"] as const;

export function createClusterEngine(options: ClusterEngineOptions, deps: ClusterEngineDeps): PlatformLink {
  const { clock, log, signal: life } = deps;
  const { place, owner } = options;
  const { namespace, stateDir } = place;
  const client = createClusterClient({ place: options.title, namespace }, deps);
  const watch = createClusterWatch({ stateDir, owner }, { client, clock });
  const whole: WholeLogs = new Map();
  const ours = { [OWNER_LABEL]: owner };
  /** What is done to one session is done one after the other. */
  const inTurn = createTurns();

  const toRun = (mark: ProcessMark, isAdopted: boolean): SessionRun =>
    createClusterRun(
      { namespace, mark, isAdopted, watched: watch.watch(mark.workloadId) },
      { client, watch, whole, clock, log, signal: life },
    );

  const discard: PlatformLink["discard"] = (workloadId, { isKept, volumeRules }) =>
    inTurn(workloadId, async () => {
      if (isKept(workloadId)) return;
      const labels = { ...ours, [SESSION_LABEL]: workloadId };
      await removeSession({ workloadId, labels, volumeRules: volumeRules(workloadId) }, client);
      whole.delete(workloadId);
    });

  return {
    version: (limitMs, signal) => client.version(limitMs, signal),
    start: (mark, launch) =>
      inTurn(mark.workloadId, async () => {
        await startDeployment(mark, launch, { place, owner, client });
        const run = toRun(mark, false);
        // It runs, whatever becomes of this look: the watch tells the rest.
        await watch.look(mark.workloadId).catch(() => undefined);
        return run;
      }),
    sweep: async () =>
      (await watch.lookAll(SWEEP_LIMIT_MS)).flatMap(({ workloadId, mark, isGone, startedAtWallMs }) => {
        if (mark === undefined || isGone) return [];
        const found: FoundRun = {
          label: deploymentLabel(namespace, workloadId),
          mark: { ...mark, kind: "session" },
          engine: "kubernetes",
          isLeader: true,
          order: startedAtWallMs,
          adopt: () => toRun({ ...mark, kind: "session" }, true),
        };
        return [found];
      }),
    discard,
    tidy: async (rules) => {
      const live = new Set((await watch.lookAll()).filter(({ isGone }) => !isGone).map(({ workloadId }) => workloadId));
      const ids = new Set<string>();
      for (const kind of LEFTOVERS) {
        for (const item of (await client.list(kind, ours)).items) {
          const id = sessionOf(item, owner);
          if (id !== undefined) ids.add(id);
        }
      }
      // What runs is stopped first, by who stops things.
      for (const id of ids) if (!live.has(id)) await discard(id, rules);
    },
    follow: async (signal, onNews) => {
      const over = new AbortController();
      const stop = AbortSignal.any([signal, over.signal]);
      const following = watch.follow(stop, onNews);
      const pinging = (async () => {
        for (;;) {
          await clock.delay(PING_MS, stop);
          await client.version(PING_LIMIT_MS, stop);
        }
      })();
      try {
        await Promise.race([following, pinging]);
      } finally {
        over.abort();
        await Promise.allSettled([following, pinging]);
      }
    },
  };
}
