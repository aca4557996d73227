import type { z } from "zod";
import type { Clock } from "../../../base/clock.ts";
import { AppError } from "../../../base/errors.ts";
import type { KubernetesManifest } from "../../../translate/kubernetes-manifests.ts";
import { readJsonLines } from "../engine-api/json-lines.ts";
import type { EngineEntry } from "../engine-output.ts";
import type { ClusterAccess } from "./cluster-access.ts";
import {
  bookmarkSchema,
  CLUSTER_SCHEMAS,
  type ClusterKind,
  type ClusterObject,
  failureSchema,
  listSchema,
  podMetricsSchema,
  versionSchema,
  watchEventSchema,
} from "./cluster-answers.ts";
import { type ClusterCall, createClusterRequest } from "./cluster-request.ts";
import { readLogLines } from "./log-lines.ts";
import { parseUsageQuantity } from "./usage-quantity.ts";

export type Labels = Readonly<Record<string, string>>;

export interface ClusterList<Kind extends ClusterKind> {
  readonly items: readonly ClusterObject<Kind>[];
  /** From which a watch goes on. */
  readonly version: string | undefined;
}

export type ClusterEvent<Kind extends ClusterKind> =
  /** `added`, `modified`, or `deleted` with how it was last. */
  | { readonly type: "changed" | "deleted"; readonly object: ClusterObject<Kind>; readonly version: string | undefined }
  /** Nothing happened, up to this version. */
  | { readonly type: "bookmark"; readonly version: string }
  /** The server holds nothing so old any more: all has to be listed anew. */
  | { readonly type: "expired" };

export interface WatchWish {
  readonly labels: Labels;
  readonly version: string | undefined;
  /** After which the server ends it. */
  readonly seconds: number;
  readonly signal: AbortSignal;
}

export interface LogWish {
  /** Absent: from the beginning. */
  readonly sinceNs?: bigint | undefined;
  /** Of the container that ran there before. */
  readonly isPrevious: boolean;
  readonly signal: AbortSignal;
}

export interface PodUsage {
  readonly cores: number;
  readonly memoryBytes: number;
}

/**
 * What Sluice asks of the Kubernetes API, in one namespace. Each call has a limit of its own. All reject with an `AppError`:
 * `unavailable`, `timeout`, `refused` or `config` when the API server could not be asked, `not-found`, `conflict`, `invalid`,
 * `exhausted` or `refused` when it said so.
 */
export interface ClusterClient {
  /** `v1.30.4+k3s1`. */
  version(limitMs: number, signal?: AbortSignal): Promise<string>;
  /** Server-side: makes it, or makes what was applied before like this. */
  apply(manifest: KubernetesManifest): Promise<void>;
  get<Kind extends ClusterKind>(kind: Kind, name: string): Promise<ClusterObject<Kind> | undefined>;
  list<Kind extends ClusterKind>(kind: Kind, labels: Labels, limitMs?: number): Promise<ClusterList<Kind>>;
  /** Until the server ends it, or the signal. Rejects, before or while it is read, when the connection fails. */
  watch<Kind extends ClusterKind>(kind: Kind, wish: WatchWish): Promise<AsyncIterable<ClusterEvent<Kind>>>;
  /** Changes the fields that are named. Rejects with `not-found` where there is none. */
  merge(kind: ClusterKind, name: string, change: unknown): Promise<void>;
  /** With what belongs to it. No error where there is none. `graceSeconds` 0: whatever its node says. */
  remove(kind: ClusterKind, name: string, graceSeconds?: number): Promise<void>;
  /** What a pod's session writes, until its container ends, or the signal. */
  log(pod: string, container: string, wish: LogWish): Promise<AsyncIterable<EngineEntry>>;
  /** Undefined where the cluster measures nothing, or has not measured this one. */
  usage(pod: string): Promise<PodUsage | undefined>;
}

const FIELD_MANAGER = "sluice";
const GROUPS: Readonly<Record<ClusterKind, string>> = {
  Deployment: "/apis/apps/v1",
  Pod: "/api/v1",
  Service: "/api/v1",
  Ingress: "/apis/networking.k8s.io/v1",
  PersistentVolumeClaim: "/api/v1",
  Secret: "/api/v1",
};
const PLURALS: Readonly<Record<ClusterKind, string>> = {
  Deployment: "deployments",
  Pod: "pods",
  Service: "services",
  Ingress: "ingresses",
  PersistentVolumeClaim: "persistentvolumeclaims",
  Secret: "secrets",
};
const NS_A_SECOND = 1_000_000_000n;

export function createClusterClient(
  { place, namespace }: { readonly place: string; readonly namespace: string },
  deps: { readonly access: ClusterAccess; readonly clock: Clock },
): ClusterClient {
  const request = createClusterRequest(place, deps);
  const inNamespace = `namespaces/${encodeURIComponent(namespace)}`;
  const pathOf = (kind: ClusterKind, name?: string) =>
    `${GROUPS[kind]}/${inNamespace}/${PLURALS[kind]}${name === undefined ? "" : `/${encodeURIComponent(name)}`}`;

  const read = <T>(schema: z.ZodType<T>, value: unknown): T => {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw new AppError("unavailable", `${place} answered with something else than it should`, { cause: parsed.error });
  };
  const json = (text: string): unknown => {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new AppError("unavailable", `${place} answered with something else than JSON`, { cause });
    }
  };
  const ask = async (call: ClusterCall) => json((await request.ask(call)).text);
  const schemaOf = <Kind extends ClusterKind>(kind: Kind) =>
    CLUSTER_SCHEMAS[kind] as unknown as z.ZodType<ClusterObject<Kind>>;

  return {
    version: async (limitMs, signal) =>
      read(versionSchema, await ask({ method: "GET", path: "/version", limitMs, signal })).gitVersion,
    apply: async (manifest) => {
      await request.ask({
        method: "PATCH",
        path: pathOf(manifest.kind, manifest.metadata.name),
        query: { fieldManager: FIELD_MANAGER, force: "true", fieldValidation: "Strict" },
        contentType: "application/apply-patch+yaml",
        body: manifest,
      });
    },
    get: async (kind, name) => {
      const { status, text } = await request.ask({ method: "GET", path: pathOf(kind, name), accepts: [404] });
      return status === 404 ? undefined : read(schemaOf(kind), json(text));
    },
    list: async (kind, labels, limitMs) => {
      const query = { labelSelector: selectorOf(labels) };
      const { items, metadata } = read(listSchema, await ask({ method: "GET", path: pathOf(kind), query, limitMs }));
      return { items: items.map((item) => read(schemaOf(kind), item)), version: metadata.resourceVersion };
    },
    watch: async (kind, { labels, version, seconds, signal }) => {
      const query = {
        watch: "true",
        allowWatchBookmarks: "true",
        timeoutSeconds: String(seconds),
        labelSelector: selectorOf(labels),
        resourceVersion: version,
      };
      try {
        const pieces = await request.open({ method: "GET", path: pathOf(kind), query, signal });
        return readEvents(pieces, (value) => read(schemaOf(kind), value), place);
      } catch (thrown) {
        // 410: so old a version is known before anything is sent.
        if (thrown instanceof AppError && thrown.code === "not-found") return expired();
        throw thrown;
      }
    },
    merge: async (kind, name, change) => {
      await request.ask({
        method: "PATCH",
        path: pathOf(kind, name),
        query: { fieldManager: FIELD_MANAGER },
        contentType: "application/merge-patch+json",
        body: change,
      });
    },
    remove: async (kind, name, graceSeconds) => {
      await request.ask({
        method: "DELETE",
        path: pathOf(kind, name),
        body: {
          kind: "DeleteOptions",
          apiVersion: "v1",
          propagationPolicy: "Background",
          ...(graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds }),
        },
        accepts: [404],
      });
    },
    log: async (pod, container, { sinceNs, isPrevious, signal }) => {
      const query = {
        container,
        timestamps: "true",
        ...(isPrevious ? { previous: "true" } : { follow: "true" }),
        ...(sinceNs === undefined || sinceNs <= 0n ? {} : { sinceTime: toTime(sinceNs) }),
      };
      const pieces = await request.open({ method: "GET", path: `${pathOf("Pod", pod)}/log`, query, signal });
      return readLogLines(pieces);
    },
    usage: async (pod) => {
      const path = `/apis/metrics.k8s.io/v1beta1/${inNamespace}/pods/${encodeURIComponent(pod)}`;
      const { status, text } = await request.ask({ method: "GET", path, accepts: [403, 404, 503] });
      if (status !== 200) return undefined;
      const { containers } = read(podMetricsSchema, json(text));
      const sum = (key: "cpu" | "memory") =>
        containers.reduce((all, { usage }) => all + (parseUsageQuantity(usage[key]) ?? 0), 0);
      return { cores: sum("cpu"), memoryBytes: sum("memory") };
    },
  };
}

function selectorOf(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
}

/** Whole seconds are all that is asked for by. */
function toTime(timeNs: bigint): string {
  return new Date(Number(timeNs / NS_A_SECOND) * 1000).toISOString();
}

const GONE = 410;

async function* expired(): AsyncGenerator<{ readonly type: "expired" }> {
  yield { type: "expired" };
}

async function* readEvents<Kind extends ClusterKind>(
  pieces: AsyncIterable<Uint8Array>,
  toObject: (value: unknown) => ClusterObject<Kind>,
  place: string,
): AsyncGenerator<ClusterEvent<Kind>> {
  for await (const line of readJsonLines(pieces)) {
    const event = watchEventSchema.safeParse(line);
    if (!event.success) continue;
    const { type, object } = event.data;
    if (type === "ERROR") {
      const failure = failureSchema.safeParse(object);
      if (failure.success && failure.data.code === GONE) {
        yield { type: "expired" };
        return;
      }
      throw new AppError("unavailable", `${place} ended a watch: ${failure.data?.message ?? "without a reason"}`);
    }
    if (type === "BOOKMARK") {
      const bookmark = bookmarkSchema.safeParse(object);
      if (bookmark.success) yield { type: "bookmark", version: bookmark.data.metadata.resourceVersion };
      continue;
    }
    const found = toObject(object);
    yield { type: type === "DELETED" ? "deleted" : "changed", object: found, version: found.metadata.resourceVersion };
  }
}
