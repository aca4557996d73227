import type { Clock } from "../../../base/clock.ts";
import { OWNER_LABEL, objectName, SESSION_LABEL } from "../../../translate/kubernetes-manifests.ts";
import type { DeploymentObject, PodObject } from "../cluster-api/cluster-answers.ts";
import type { ClusterClient } from "../cluster-api/cluster-client.ts";
import type { ExitReason } from "../run-handle.ts";
import { type ClusterFacts, sessionOf, toClusterFacts } from "./cluster-facts.ts";
import { reflect } from "./reflect.ts";

export interface ClusterExit {
  readonly code: null;
  readonly signal: null;
  readonly reason?: ExitReason;
}

export interface WatchedSession {
  /** As the cluster told last. */
  facts(): ClusterFacts;
  /** Settles when the cluster says that no pod is asked for and none is left, and for nothing else. */
  readonly gone: Promise<ClusterExit>;
}

/** Knows what the cluster last said of each session of this box. */
export interface ClusterWatch {
  /** From now on: only what is asked for after this can end it. */
  watch(workloadId: string): WatchedSession;
  look(workloadId: string): Promise<ClusterFacts>;
  /** All of this box's, watched or not. */
  lookAll(limitMs?: number): Promise<readonly ClusterFacts[]>;
  /** Until the signal, or until the API server can be asked no more. */
  follow(signal: AbortSignal, onNews: () => void): Promise<void>;
}

interface Entry {
  /** Looks that began before this know of an earlier life. */
  readonly since: number;
  readonly settle: (exit: ClusterExit) => void;
  readonly watched: WatchedSession;
  /** What was last told, in words. */
  told: string;
}

export interface ClusterWatchOptions {
  readonly stateDir: string;
  readonly owner: string;
}

export function createClusterWatch(
  { stateDir, owner }: ClusterWatchOptions,
  deps: { readonly client: ClusterClient; readonly clock: Clock },
): ClusterWatch {
  const { client, clock } = deps;
  const deployments = new Map<string, DeploymentObject>();
  const pods = new Map<string, PodObject>();
  const entries = new Map<string, Entry>();
  const ours = { [OWNER_LABEL]: owner };
  let looks = 0;
  let onNews = () => {};

  /** What the watch tells is the latest; beside it looks change nothing of what is told. */
  let isFollowing = false;

  const toFacts = (workloadId: string, deployment: DeploymentObject | undefined, all: Iterable<PodObject>) =>
    toClusterFacts(
      { workloadId, deployment, pods: [...all].filter((pod) => sessionOf(pod, owner) === workloadId) },
      { stateDir, nowWallMs: clock.wallMs() },
    );
  const factsOf = (workloadId: string) => toFacts(workloadId, deployments.get(workloadId), pods.values());

  const settleWhereGone = ({ workloadId, isGone, isRemoved }: ClusterFacts, began: number) => {
    const entry = entries.get(workloadId);
    if (entry === undefined || began <= entry.since || !isGone) return;
    entries.delete(workloadId);
    entry.settle({ code: null, signal: null, ...(isRemoved ? { reason: "removed" } : {}) });
  };

  const replace = <T extends PodObject | DeploymentObject>(
    held: Map<string, T>,
    items: readonly T[],
    keyOf: (item: T) => string | undefined,
  ) => {
    held.clear();
    for (const item of items) {
      const key = keyOf(item);
      if (key !== undefined) held.set(key, item);
    }
  };
  const deploymentKey = (item: DeploymentObject) => sessionOf(item, owner);
  const podKey = (item: PodObject) => (sessionOf(item, owner) === undefined ? undefined : item.metadata.name);

  const tellNews = (workloadId: string | undefined) => {
    const entry = workloadId === undefined ? undefined : entries.get(workloadId);
    if (workloadId === undefined || entry === undefined) return;
    const facts = factsOf(workloadId);
    const told = JSON.stringify([facts.report, facts.isGone]);
    if (told === entry.told) return;
    entry.told = told;
    onNews();
    // What a watch tells may be old by now: only a look ends a session.
    if (facts.isGone) void look(workloadId).catch(() => undefined);
  };

  const look = async (workloadId: string): Promise<ClusterFacts> => {
    looks += 1;
    const began = looks;
    const labels = { ...ours, [SESSION_LABEL]: workloadId };
    const [deployment, found] = await Promise.all([
      client.get("Deployment", objectName(workloadId)),
      client.list("Pod", labels),
    ]);
    const facts = toFacts(workloadId, deployment === undefined ? undefined : ownOnly(deployment), found.items);
    settleWhereGone(facts, began);
    return facts;
  };
  /** A stranger's of the same name is none. */
  const ownOnly = (item: DeploymentObject) => (sessionOf(item, owner) === undefined ? undefined : item);

  return {
    look,
    watch: (workloadId) => {
      const known = entries.get(workloadId);
      if (known !== undefined) return known.watched;
      const { promise, resolve } = Promise.withResolvers<ClusterExit>();
      const watched = { facts: () => factsOf(workloadId), gone: promise };
      entries.set(workloadId, { since: looks, settle: resolve, watched, told: "" });
      return watched;
    },
    lookAll: async (limitMs) => {
      looks += 1;
      const began = looks;
      const [allDeployments, allPods] = await Promise.all([
        client.list("Deployment", ours, limitMs),
        client.list("Pod", ours, limitMs),
      ]);
      if (!isFollowing) {
        replace(deployments, allDeployments.items, deploymentKey);
        replace(pods, allPods.items, podKey);
      }
      const held = new Map(allDeployments.items.map((item) => [sessionOf(item, owner) ?? "", item]));
      const ids = new Set([...held.keys(), ...allPods.items.map((item) => sessionOf(item, owner) ?? "")]);
      const all = [...ids].map((id) => toFacts(id, held.get(id), allPods.items));
      for (const facts of all) settleWhereGone(facts, began);
      for (const id of [...entries.keys()]) if (!ids.has(id)) settleWhereGone(toFacts(id, undefined, []), began);
      return all;
    },
    follow: async (signal, tell) => {
      onNews = tell;
      isFollowing = true;
      const over = new AbortController();
      const stop = AbortSignal.any([signal, over.signal]);
      const following = [
        reflect("Deployment", { client, clock, labels: ours, signal: stop }, (change) => {
          const before = change.type === "all" ? [...deployments.keys()] : [];
          if (change.type === "all") replace(deployments, change.items, deploymentKey);
          else {
            const id = sessionOf(change.object, owner);
            if (id === undefined) return;
            if (change.type === "deleted") deployments.delete(id);
            else deployments.set(id, change.object);
            before.push(id);
          }
          for (const id of new Set([...before, ...deployments.keys()])) tellNews(id);
        }),
        reflect("Pod", { client, clock, labels: ours, signal: stop }, (change) => {
          if (change.type === "all") replace(pods, change.items, podKey);
          else if (change.type === "deleted") pods.delete(change.object.metadata.name);
          else pods.set(change.object.metadata.name, change.object);
          const ids = change.type === "all" ? [...entries.keys()] : [sessionOf(change.object, owner)];
          for (const id of ids) tellNews(id);
        }),
      ];
      try {
        await Promise.race(following);
      } finally {
        over.abort();
        await Promise.allSettled(following);
        onNews = () => {};
        isFollowing = false;
      }
    },
  };
}
