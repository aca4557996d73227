import { AppError } from "../../../base/errors.ts";
import { parseBytes } from "../../../contract/quantity.ts";
import type { VolumeRule } from "../../../contract/session-spec.ts";
import { ON_STOP_LABEL } from "../../../translate/container-labels.ts";
import {
  type ClusterPlace,
  claimName,
  type KubernetesManifest,
  OWNER_LABEL,
  objectName,
  SESSION_LABEL,
  toKubernetesManifests,
} from "../../../translate/kubernetes-manifests.ts";
import type { ClusterKind } from "../cluster-api/cluster-answers.ts";
import type { ClusterClient, Labels } from "../cluster-api/cluster-client.ts";
import type { ProcessMark } from "../run-handle.ts";
import type { EngineLaunch } from "../workload-runtime.ts";

export interface StartPlace {
  readonly place: ClusterPlace;
  readonly owner: string;
  readonly client: ClusterClient;
}

/**
 * Makes everything of a session as it is wanted now, the Deployment last. Each step sets what it names, whatever was there, so it goes on
 * wherever an earlier attempt, or another agent, was cut off: there is one name, and so never a second Deployment.
 */
export async function startDeployment(
  mark: ProcessMark,
  { workload, signal }: EngineLaunch,
  { place, owner, client }: StartPlace,
): Promise<void> {
  const manifests = toKubernetesManifests({ ...workload, power: undefined }, mark, place);
  const ours = { [OWNER_LABEL]: owner, [SESSION_LABEL]: mark.workloadId };
  const held = new Set<KubernetesManifest>();
  for (const manifest of manifests) if (await requireOurs(manifest, ours, client)) held.add(manifest);
  signal.throwIfAborted();
  const deployment = manifests.filter(({ kind }) => kind === "Deployment");
  for (const manifest of manifests) {
    if (manifest.kind === "Deployment") continue;
    if (manifest.kind === "PersistentVolumeClaim" && held.has(manifest)) await keepClaim(manifest, client);
    else await client.apply(manifest);
  }
  for (const kind of ["Ingress", "Service", "Secret"] as const) {
    if (!manifests.some((manifest) => manifest.kind === kind)) await removeAll(kind, ours, client);
  }
  for (const manifest of deployment) await client.apply(manifest);
}

/**
 * Everything of one session that its end leaves, the Deployment first, and the volumes that go with it. `volumeRules`: what was said
 * last of a volume, by its name; what its label says is what was said at its last start.
 */
export async function removeSession(
  session: {
    readonly workloadId: string;
    readonly labels: Labels;
    readonly volumeRules: ReadonlyMap<string, VolumeRule>;
  },
  client: ClusterClient,
): Promise<void> {
  const { workloadId, labels, volumeRules } = session;
  for (const kind of ["Deployment", "Ingress", "Service", "Secret"] as const) await removeAll(kind, labels, client);
  const rules = new Map([...volumeRules].map(([name, rule]) => [claimName(objectName(workloadId), name), rule]));
  for (const { metadata } of (await client.list("PersistentVolumeClaim", labels)).items) {
    const rule = rules.get(metadata.name) ?? metadata.labels?.[ON_STOP_LABEL];
    if (rule === "delete") await client.remove("PersistentVolumeClaim", metadata.name);
  }
}

async function removeAll(kind: ClusterKind, labels: Labels, client: ClusterClient): Promise<void> {
  for (const { metadata } of (await client.list(kind, labels)).items) await client.remove(kind, metadata.name);
}

/** Whether it is there already. Applying takes over whatever has the name, so a stranger's is refused before. */
async function requireOurs(manifest: KubernetesManifest, ours: Labels, client: ClusterClient): Promise<boolean> {
  const { kind, metadata } = manifest;
  const existing = await client.get(kind, metadata.name);
  if (existing === undefined) return false;
  const isOurs = Object.entries(ours).every(([name, value]) => existing.metadata.labels?.[name] === value);
  if (!isOurs) {
    const whose = existing.metadata.annotations?.["sluice.box"];
    const text = whose === undefined ? "Sluice did not make" : `box ${whose} has made`;
    throw new AppError(
      "conflict",
      `the name ${metadata.name} is taken by a ${kind} in namespace ${metadata.namespace}, which ${text}; remove or rename it`,
    );
  }
  if (existing.metadata.deletionTimestamp !== undefined) {
    throw new AppError("unavailable", `${kind} ${metadata.name} is still being removed; it is tried again`);
  }
  return true;
}

/** A claim can be made larger, and nothing else of it changed. */
async function keepClaim(manifest: KubernetesManifest, client: ClusterClient): Promise<void> {
  const { name, labels } = manifest.metadata;
  const wanted = sizeIn(manifest["spec"]);
  const existing = await client.get("PersistentVolumeClaim", name);
  const held = existing?.spec.resources?.requests?.storage;
  const isLarger = wanted !== undefined && (parseBytes(wanted) ?? 0) > (parseBytes(held ?? "") ?? Infinity);
  const isRelabelled = existing?.metadata.labels?.[ON_STOP_LABEL] !== labels[ON_STOP_LABEL];
  if (!isLarger && !isRelabelled) return;
  await client.merge("PersistentVolumeClaim", name, {
    ...(isRelabelled ? { metadata: { labels: { [ON_STOP_LABEL]: labels[ON_STOP_LABEL] } } } : {}),
    ...(isLarger ? { spec: { resources: { requests: { storage: wanted } } } } : {}),
  });
}

function sizeIn(spec: unknown): string | undefined {
  const claim = spec as { readonly resources?: { readonly requests?: { readonly storage?: string } } } | undefined;
  return claim?.resources?.requests?.storage;
}
