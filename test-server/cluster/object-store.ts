import { randomUUID } from "node:crypto";
import { systemClock } from "../../src/base/clock.ts";
import { applyFields, type ClusterObject, mergeFields, type ObjectKind, problemOf } from "./cluster-object.ts";

export interface StoreEvent {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: ClusterObject;
}

export interface Refused {
  readonly status: number;
  readonly message: string;
}

/** Objects with their versions and all that happened to them. */
export interface ObjectStore {
  version(): number;
  get(kind: ObjectKind, name: string): ClusterObject | undefined;
  list(kind: ObjectKind): readonly ClusterObject[];
  apply(kind: ObjectKind, body: ClusterObject): ClusterObject | Refused;
  merge(kind: ObjectKind, name: string, change: unknown): ClusterObject | Refused;
  /** By the cluster itself: no checks. */
  put(object: ClusterObject): void;
  remove(kind: ObjectKind, name: string): void;
  /** Versions before this are forgotten. */
  forget(): void;
  oldest(): number;
  since(version: number): readonly StoreEvent[];
  /** After each change. */
  onChange(listen: () => void): () => void;
}

export function createObjectStore(): ObjectStore {
  const objects = new Map<string, ClusterObject>();
  const applied = new Map<string, ClusterObject>();
  const listeners = new Set<() => void>();
  let events: StoreEvent[] = [];
  let version = 100;
  let oldest = 0;
  const keyOf = (kind: ObjectKind, name: string) => `${kind}/${name}`;

  const record = (type: StoreEvent["type"], object: ClusterObject) => {
    events.push({ version, type, object: structuredClone(object) });
    for (const listen of [...listeners]) listen();
  };
  const put = (object: ClusterObject) => {
    const key = keyOf(object.kind, object.metadata.name);
    const held = objects.get(key);
    const same = { ...object, metadata: { ...object.metadata, resourceVersion: held?.metadata.resourceVersion } };
    if (held !== undefined && JSON.stringify(held) === JSON.stringify(same)) return;
    version += 1;
    const next = structuredClone({ ...object, metadata: { ...object.metadata, resourceVersion: String(version) } });
    objects.set(key, next);
    record(held === undefined ? "ADDED" : "MODIFIED", next);
  };
  const checked = (next: ClusterObject, held: ClusterObject | undefined): ClusterObject | Refused => {
    const problem = problemOf(next) ?? immutable(next, held);
    if (problem !== undefined)
      return { status: 422, message: `${next.kind} "${next.metadata.name}" is invalid: ${problem}` };
    put(next);
    return objects.get(keyOf(next.kind, next.metadata.name)) ?? next;
  };

  return {
    version: () => version,
    get: (kind, name) => objects.get(keyOf(kind, name)),
    list: (kind) => [...objects.values()].filter((object) => object.kind === kind),
    apply: (kind, body) => {
      const key = keyOf(kind, body.metadata.name);
      const held = objects.get(key);
      const base = held ?? {
        metadata: { uid: randomUUID(), creationTimestamp: wholeSeconds() },
      };
      const next = applyFields(base, applied.get(key), body) as ClusterObject;
      const result = checked(withDefaults(next, held), held);
      if (!("status" in result && "message" in result)) applied.set(key, structuredClone(body));
      return result;
    },
    merge: (kind, name, change) => {
      const held = objects.get(keyOf(kind, name));
      if (held === undefined) return { status: 404, message: `${kind} "${name}" not found` };
      return checked(mergeFields(held, change) as ClusterObject, held);
    },
    put,
    remove: (kind, name) => {
      const key = keyOf(kind, name);
      const held = objects.get(key);
      if (held === undefined) return;
      objects.delete(key);
      applied.delete(key);
      version += 1;
      record("DELETED", { ...held, metadata: { ...held.metadata, resourceVersion: String(version) } });
    },
    forget: () => {
      events = [];
      oldest = version;
    },
    oldest: () => oldest,
    since: (from) => events.filter((event) => event.version > from),
    onChange: (listen) => {
      listeners.add(listen);
      return () => listeners.delete(listen);
    },
  };
}

export function wholeSeconds(): string {
  return new Date(systemClock.wallMs()).toISOString().replace(/\.\d+Z$/, "Z");
}

let addresses = 0;

function withDefaults(object: ClusterObject, held: ClusterObject | undefined): ClusterObject {
  if (object.kind === "Service") {
    addresses += held === undefined ? 1 : 0;
    const isOutside = object.spec.type !== "ClusterIP";
    const ports = object.spec.ports.map((port: { readonly nodePort?: number }, index: number) => ({
      ...port,
      ...(isOutside && port.nodePort === undefined ? { nodePort: 30_000 + addresses * 10 + index } : {}),
    }));
    return { ...object, spec: { clusterIP: `10.43.0.${addresses}`, ...object.spec, ports } };
  }
  if (object.kind === "PersistentVolumeClaim" && held === undefined) {
    return { ...object, spec: { storageClassName: "local-path", ...object.spec }, status: { phase: "Bound" } };
  }
  return object;
}

/** What Kubernetes lets nobody change. */
function immutable(next: ClusterObject, held: ClusterObject | undefined): string | undefined {
  if (held === undefined) return undefined;
  if (next.kind === "Deployment" && JSON.stringify(next.spec.selector) !== JSON.stringify(held.spec.selector)) {
    return "spec.selector: field is immutable";
  }
  if (next.kind !== "PersistentVolumeClaim") return undefined;
  const rest = (spec: object) => JSON.stringify({ ...spec, resources: undefined });
  const bytes = ({ spec }: ClusterObject) => Number.parseInt(spec.resources.requests.storage, 10);
  if (rest(next.spec) !== rest(held.spec)) return "spec is immutable after creation";
  return bytes(next) < bytes(held) ? "spec.resources.requests.storage: can not be less than previous value" : undefined;
}
