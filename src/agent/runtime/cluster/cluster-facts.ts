import { type FoundMark, readMarkLabels } from "../../../translate/container-labels.ts";
import { OWNER_LABEL, SESSION_LABEL } from "../../../translate/kubernetes-manifests.ts";
import type { DeploymentObject, PodObject } from "../cluster-api/cluster-answers.ts";
import type { RunReport } from "../run-handle.ts";
import { findTrouble } from "./find-trouble.ts";
import { sessionContainer } from "./session-container.ts";

/** What a cluster's word on a session means here. Pure. */
export interface ClusterFacts {
  readonly workloadId: string;
  /** Absent: there is no Deployment, or it is not ours. */
  readonly mark: FoundMark | undefined;
  readonly startedAtWallMs: number;
  /** A pod is asked for. */
  readonly isWanted: boolean;
  /** Those that have not ended, the newest first. */
  readonly pods: readonly PodObject[];
  /** No pod is asked for, and none is left. */
  readonly isGone: boolean;
  /** There is no Deployment any more. */
  readonly isRemoved: boolean;
  readonly report: RunReport;
}

export interface ClusterSession {
  readonly workloadId: string;
  readonly deployment: DeploymentObject | undefined;
  readonly pods: readonly PodObject[];
}

export function toClusterFacts(
  { workloadId, deployment, pods: all }: ClusterSession,
  { stateDir, nowWallMs }: { readonly stateDir: string; readonly nowWallMs: number },
): ClusterFacts {
  const pods = all.filter(isLive).sort((one, other) => createdMs(other) - createdMs(one));
  const isWanted = deployment !== undefined && (deployment.spec.replicas ?? 1) > 0;
  const [current] = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const container = current === undefined ? undefined : sessionContainer(current);
  return {
    workloadId,
    mark: readMarkLabels(deployment?.metadata.annotations, stateDir),
    startedAtWallMs: createdMs(current ?? deployment),
    isWanted,
    pods,
    isGone: !isWanted && pods.length === 0,
    isRemoved: deployment === undefined,
    report: {
      isReady: isWanted && container?.ready === true,
      finding: isWanted ? findTrouble({ deployment, pod: current, container, nowWallMs }) : undefined,
    },
  };
}

/** Evicted ones stay as a note for people. */
function isLive({ status }: PodObject): boolean {
  return status?.phase !== "Failed" && status?.phase !== "Succeeded";
}

export function createdMs(object: Pick<PodObject, "metadata"> | undefined): number {
  const ms = Date.parse(object?.metadata.creationTimestamp ?? "");
  return Number.isNaN(ms) ? 0 : ms;
}

/** Of which session an object is, where it is this box's. */
export function sessionOf({ metadata }: Pick<PodObject, "metadata">, owner: string): string | undefined {
  return metadata.labels?.[OWNER_LABEL] === owner ? metadata.labels[SESSION_LABEL] : undefined;
}
