import { createHash } from "node:crypto";
import { AppError } from "../base/errors.ts";
import { isSecretVariable } from "../contract/session-secrets.ts";
import type { SessionPort, SessionVolume } from "../contract/session-spec.ts";
import type { SessionWorkload } from "../contract/workload.ts";
import { ON_STOP_LABEL, type SessionMark, toMarkLabels, toOwnerLabels } from "./container-labels.ts";

/** What a cluster is told of a session: bodies for the Kubernetes API, as of v1.25 and later. Pure. */

export interface ClusterPlace {
  /** Of the agent that asks. */
  readonly stateDir: string;
  readonly namespace: string;
  /** Host under which ports of the scheme `http` are published; `{{session}}` and `{{port}}` stand for id and port. Absent: none is. */
  readonly ingressHost?: string | undefined;
  /** Absent: the cluster's default. */
  readonly ingressClass?: string | undefined;
  /** Of volumes. Absent: the cluster's default. */
  readonly storageClass?: string | undefined;
  /** Who reaches the ports of sessions. Absent: `ClusterIP`, who is inside the cluster. */
  readonly serviceType?: ServiceType | undefined;
}

export const SERVICE_TYPES = ["ClusterIP", "NodePort", "LoadBalancer"] as const;
export type ServiceType = (typeof SERVICE_TYPES)[number];

export interface KubernetesManifest {
  readonly apiVersion: string;
  readonly kind: "PersistentVolumeClaim" | "Secret" | "Deployment" | "Service" | "Ingress";
  readonly metadata: ManifestMetadata;
  readonly [field: string]: unknown;
}

interface ManifestMetadata {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

type Fields = Readonly<Record<string, unknown>>;

/** The same for all sessions of one box, and different for any two boxes: labels take no path, and boxes may share a cluster. */
export const OWNER_LABEL = "sluice.owner";
export const SESSION_LABEL = "sluice.workload";
const SPEC_ANNOTATION = "sluice.spec";

const DEFAULT_SIZE = "10Gi";
/** For who deletes a pod by hand, and what an application is given on every other platform. */
const GRACE_SECONDS = 10;
const GPU = "nvidia.com/gpu";
const PROBE_PERIOD_SECONDS = 5;
export const SESSION_CONTAINER = "session";

export function objectName(workloadId: string): string {
  return `sluice-${workloadId}`;
}

/** Label values hold 63 letters, digits, dots and dashes; a state directory is none. */
export function ownerLabel(boxId: string, stateDir: string): string {
  return createHash("sha256").update(`${boxId}\n${stateDir}`).digest("hex").slice(0, 32);
}

/**
 * In the order in which they are made. The Deployment is the last: where it asks for a pod, all else is there. Throws `unsupported` for what a Deployment
 * cannot be asked for, `invalid` for what is missing.
 */
export function toKubernetesManifests(
  workload: SessionWorkload,
  mark: SessionMark,
  place: ClusterPlace,
): readonly KubernetesManifest[] {
  requireClusterFit(workload);
  const { id, spec } = workload;
  const name = objectName(id);
  const labels = {
    "app.kubernetes.io/name": name,
    "app.kubernetes.io/managed-by": "sluice",
    [OWNER_LABEL]: ownerLabel(mark.boxId, place.stateDir),
    [SESSION_LABEL]: id,
  };
  const owner = { stateDir: place.stateDir, boxId: mark.boxId, workloadId: id };
  const annotations = toOwnerLabels(owner);
  const metadata: ManifestMetadata = { name, namespace: place.namespace, labels, annotations };
  const { ports = [], env = {} } = spec.template;
  const secrets = Object.entries(env).filter(([variable]) => isSecretVariable(variable));

  return [
    ...(spec.volumes ?? []).map((volume) => toClaim(volume, metadata, place)),
    ...(secrets.length === 0 ? [] : [toSecret(secrets, metadata)]),
    ...(ports.length === 0 ? [] : [toService(ports, metadata, place)]),
    ...toIngress(ports, metadata, { ...place, workloadId: id }),
    toDeployment(workload, { ...metadata, annotations: toMarkLabels(owner, mark) }),
  ];
}

/** A cluster has no directory and no port of the box, and a Deployment starts again whatever ends. Throws as above. */
export function requireClusterFit({ spec }: Pick<SessionWorkload, "spec">): void {
  const refuse = (field: string, given: string, allowed: string): never => {
    throw new AppError("unsupported", `${field}: given ${given}; allowed with the platform kubernetes: ${allowed}`, {
      field,
    });
  };
  if (spec.template.image === undefined) {
    throw new AppError("invalid", "template.image: absent; allowed: the image that the container is made of", {
      field: "template.image",
    });
  }
  if (spec.restart !== undefined && spec.restart !== "always") refuse("restart", spec.restart, "always");
  for (const [index, { hostPort, address }] of (spec.template.ports ?? []).entries()) {
    const place = `template.ports[${index}]`;
    if (hostPort !== undefined) refuse(`${place}.hostPort`, String(hostPort), "none, the cluster gives the address");
    if (address !== undefined) refuse(`${place}.address`, address, "none, the cluster gives the address");
  }
  for (const [index, { hostPath }] of (spec.volumes ?? []).entries()) {
    if (hostPath !== undefined) refuse(`volumes[${index}].hostPath`, hostPath, "none, a volume is claimed");
  }
}

export function claimName(sessionName: string, volume: string): string {
  return `${sessionName}-${volume}`;
}

function toClaim(
  { name, size = DEFAULT_SIZE, onStop = "keep" }: SessionVolume,
  metadata: ManifestMetadata,
  { storageClass }: ClusterPlace,
): KubernetesManifest {
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      ...metadata,
      name: claimName(metadata.name, name),
      labels: { ...metadata.labels, [ON_STOP_LABEL]: onStop },
    },
    spec: {
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage: size } },
      ...(storageClass === undefined ? {} : { storageClassName: storageClass }),
    },
  };
}

function toSecret(secrets: readonly (readonly [string, string])[], metadata: ManifestMetadata): KubernetesManifest {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata,
    type: "Opaque",
    // Not `stringData`: what was applied through that stays when it is applied no more.
    data: Object.fromEntries(secrets.map(([name, value]) => [name, Buffer.from(value).toString("base64")])),
  };
}

function toDeployment(workload: SessionWorkload, metadata: ManifestMetadata): KubernetesManifest {
  const { power, spec } = workload;
  const { labels, name } = metadata;
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata,
    spec: {
      replicas: power?.state === "hibernated" ? 0 : 1,
      // Two pods at a time would write to one volume.
      strategy: { type: "Recreate" },
      revisionHistoryLimit: 0,
      selector: { matchLabels: { [OWNER_LABEL]: labels[OWNER_LABEL], [SESSION_LABEL]: labels[SESSION_LABEL] } },
      template: {
        // Of the mark only what a new pod is needed for: the same spec, started anew, is the same pod.
        metadata: { labels, annotations: { [SPEC_ANNOTATION]: metadata.annotations[SPEC_ANNOTATION] } },
        spec: {
          terminationGracePeriodSeconds: GRACE_SECONDS,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: { seccompProfile: { type: "RuntimeDefault" } },
          containers: [toContainer(workload, name)],
          ...(spec.volumes === undefined || spec.volumes.length === 0
            ? {}
            : {
                volumes: spec.volumes.map((volume) => ({
                  name: volume.name,
                  persistentVolumeClaim: { claimName: claimName(name, volume.name) },
                })),
              }),
        },
      },
    },
  };
}

function toContainer({ id, resources, spec }: SessionWorkload, secretName: string): Fields {
  const { image, command, args, env = {}, ports = [], workingDirectory } = spec.template;
  const { volumes = [], gpus } = spec;
  /** A pod has one probe. */
  const probed = ports.find((port) => protocolOf(port) === "TCP");
  const limits = {
    ...(resources?.cpu === undefined ? {} : { cpu: resources.cpu }),
    ...(resources?.memory === undefined ? {} : { memory: resources.memory }),
    ...(gpus === undefined ? {} : { [GPU]: String(gpus) }),
  };
  return {
    name: SESSION_CONTAINER,
    image,
    imagePullPolicy: "IfNotPresent",
    ...(command === undefined ? {} : { command: command.map(literal) }),
    ...(args === undefined ? {} : { args: args.map(literal) }),
    ...(workingDirectory === undefined ? {} : { workingDir: workingDirectory }),
    env: Object.entries({ USER: spec.user, SESSION_ID: id, ...env }).map(([name, value]) =>
      isSecretVariable(name)
        ? { name, valueFrom: { secretKeyRef: { name: secretName, key: name } } }
        : { name, value: literal(value) },
    ),
    ...(ports.length === 0
      ? {}
      : { ports: ports.map((port) => ({ containerPort: port.port, protocol: protocolOf(port) })) }),
    ...(probed === undefined
      ? {}
      : { readinessProbe: { tcpSocket: { port: probed.port }, periodSeconds: PROBE_PERIOD_SECONDS } }),
    // Asked for as much as it may use: what a hub counts for it is what is kept for it.
    ...(Object.keys(limits).length === 0 ? {} : { resources: { limits, requests: limits } }),
    ...(volumes.length === 0
      ? {}
      : {
          volumeMounts: volumes.map(({ name, path, readOnly = false }) => ({ name, mountPath: path, readOnly })),
        }),
    securityContext: { allowPrivilegeEscalation: false },
  };
}

/** Kubernetes puts variables in place of `$(NAME)`, and one dollar in place of two. */
function literal(text: string): string {
  return text.replaceAll("$", () => "$$");
}

function protocolOf({ protocol = "tcp" }: SessionPort): "TCP" | "UDP" {
  return protocol === "udp" ? "UDP" : "TCP";
}

function toService(
  ports: readonly SessionPort[],
  metadata: ManifestMetadata,
  { serviceType = "ClusterIP" }: ClusterPlace,
): KubernetesManifest {
  const { labels } = metadata;
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata,
    spec: {
      type: serviceType,
      selector: { [OWNER_LABEL]: labels[OWNER_LABEL], [SESSION_LABEL]: labels[SESSION_LABEL] },
      ports: ports.map((port) => ({
        // Given names begin with a letter, so none is like this.
        name: port.name ?? `${port.port}-${port.protocol ?? "tcp"}`,
        port: port.port,
        targetPort: port.port,
        protocol: protocolOf(port),
      })),
    },
  };
}

const DNS_NAME = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** Under which host a port is published; undefined for one that is not of the scheme `http`. */
function hostOf({ name, port, scheme, protocol = "tcp" }: SessionPort, id: string, template: string) {
  if (scheme !== "http" || protocol !== "tcp") return undefined;
  return template.replaceAll("{{session}}", id).replaceAll("{{port}}", name ?? String(port));
}

interface IngressPlace extends ClusterPlace {
  readonly workloadId: string;
}

function toIngress(
  ports: readonly SessionPort[],
  metadata: ManifestMetadata,
  { ingressHost, ingressClass, workloadId }: IngressPlace,
): readonly KubernetesManifest[] {
  if (ingressHost === undefined) return [];
  const rules = new Map<string, number>();
  for (const each of ports) {
    const host = hostOf(each, workloadId, ingressHost);
    if (host === undefined) continue;
    if (!ingressHost.includes("{{session}}") || !DNS_NAME.test(host)) {
      throw new AppError("invalid", `ingress host: given ${ingressHost}, for this port ${host}; ${HOST_ALLOWED}`);
    }
    if (rules.has(host)) {
      const both = `ports ${rules.get(host)} and ${each.port} would both be ${host}`;
      throw new AppError("invalid", `ingress host: given ${ingressHost}, and ${both}; ${HOST_ALLOWED}`);
    }
    rules.set(host, each.port);
  }
  if (rules.size === 0) return [];
  return [
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "Ingress",
      metadata,
      spec: {
        ...(ingressClass === undefined ? {} : { ingressClassName: ingressClass }),
        rules: [...rules].map(([host, number]) => ({
          host,
          http: {
            paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: metadata.name, port: { number } } } }],
          },
        })),
      },
    },
  ];
}

const HOST_ALLOWED =
  "allowed: a name such as {{session}}.apps.example, with {{port}} in it where sessions have several ports of the scheme http";
