import { Deployment } from "kubernetes-models/apps/v1";
import { Ingress } from "kubernetes-models/networking.k8s.io/v1";
import { PersistentVolumeClaim, Pod, Secret, Service } from "kubernetes-models/v1";

/** Objects as a fake API server holds them. */
export interface ClusterObject {
  readonly apiVersion: string;
  readonly kind: ObjectKind;
  metadata: ObjectMetadata;
  // biome-ignore lint/suspicious/noExplicitAny: as deep as Kubernetes has it
  spec?: any;
  // biome-ignore lint/suspicious/noExplicitAny: as deep as Kubernetes has it
  status?: any;
  readonly [field: string]: unknown;
}

export interface ObjectMetadata {
  name: string;
  namespace: string;
  uid: string;
  resourceVersion: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  creationTimestamp: string;
  deletionTimestamp?: string;
}

const MODELS = { Deployment, Pod, Service, Ingress, PersistentVolumeClaim, Secret } as const;
export type ObjectKind = keyof typeof MODELS;

export const RESOURCES: Readonly<Record<string, { readonly kind: ObjectKind; readonly apiVersion: string }>> = {
  "apps/v1/deployments": { kind: "Deployment", apiVersion: "apps/v1" },
  "v1/pods": { kind: "Pod", apiVersion: "v1" },
  "v1/services": { kind: "Service", apiVersion: "v1" },
  "v1/secrets": { kind: "Secret", apiVersion: "v1" },
  "v1/persistentvolumeclaims": { kind: "PersistentVolumeClaim", apiVersion: "v1" },
  "networking.k8s.io/v1/ingresses": { kind: "Ingress", apiVersion: "networking.k8s.io/v1" },
};

const NAMES: Readonly<Record<ObjectKind, RegExp>> = {
  Deployment: /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/,
  Pod: /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/,
  Service: /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
  Ingress: /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/,
  PersistentVolumeClaim: /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/,
  Secret: /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/,
};
const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;

/** Against the schemas that Kubernetes publishes, and its rules for names. Undefined: it is taken. */
export function problemOf(object: ClusterObject): string | undefined {
  if (!NAMES[object.kind].test(object.metadata.name)) return `metadata.name: Invalid value: ${object.metadata.name}`;
  for (const [label, value] of Object.entries(object.metadata.labels ?? {})) {
    if (!LABEL_VALUE.test(value)) return `metadata.labels: Invalid value: ${label}=${value}`;
  }
  for (const [index, { port }] of (object.kind === "Service" ? object.spec.ports : []).entries()) {
    if (!(port >= 1 && port <= 65_535)) return `spec.ports[${index}].port: Invalid value: ${port}`;
  }
  const Model = MODELS[object.kind];
  try {
    new Model(structuredClone(object) as never).validate();
    return undefined;
  } catch (thrown) {
    return String(thrown);
  }
}

type Json = unknown;
type Fields = Record<string, Json>;

/** Lists whose items Kubernetes tells apart by these fields; all others are one value. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  containers: ["name"],
  env: ["name"],
  volumes: ["name"],
  volumeMounts: ["mountPath"],
  ports: ["containerPort", "port", "protocol"],
};

/** Server-side apply: what was applied before and is no more goes, what is applied is set, and what others set stays. */
export function applyFields(held: Json, before: Json, applied: Json, field = ""): Json {
  const keys = KEYS[field];
  if (Array.isArray(applied) && keys !== undefined) {
    const keyOf = (item: Json) => JSON.stringify(keys.map((key) => (item as Fields)[key]));
    const find = (list: Json, key: string) =>
      Array.isArray(list) ? list.find((item) => keyOf(item) === key) : undefined;
    const wanted = applied.map((item) => applyFields(find(held, keyOf(item)), find(before, keyOf(item)), item));
    const others = (Array.isArray(held) ? held : []).filter(
      (item) => find(before, keyOf(item)) === undefined && find(applied, keyOf(item)) === undefined,
    );
    return [...wanted, ...others];
  }
  if (!isFields(applied)) return applied;
  const result: Fields = isFields(held) ? { ...held } : {};
  const old = isFields(before) ? before : {};
  for (const key of Object.keys(old)) if (!(key in applied)) delete result[key];
  for (const [key, value] of Object.entries(applied)) result[key] = applyFields(result[key], old[key], value, key);
  return result;
}

/** RFC 7386. */
export function mergeFields(held: Json, change: Json): Json {
  if (!isFields(change)) return change;
  const result: Fields = isFields(held) ? { ...held } : {};
  for (const [key, value] of Object.entries(change)) {
    if (value === null) delete result[key];
    else result[key] = mergeFields(result[key], value);
  }
  return result;
}

function isFields(value: Json): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
