import { openClusterEngine } from "../../src/agent/runtime/cluster/open-cluster-engine.ts";
import type { WorkloadFiles } from "../../src/agent/runtime/process/process-runtime.ts";
import type { SessionRun } from "../../src/agent/runtime/run-handle.ts";
import type { FoundRun, SessionEngine } from "../../src/agent/runtime/workload-runtime.ts";
import { systemClock } from "../../src/base/clock.ts";
import { AppError } from "../../src/base/errors.ts";
import { createHttpFetch, type HttpFetch } from "../../src/base/http-fetch.ts";
import { createMemoryLog } from "../../src/base/log.ts";
import type { SessionRunSpec } from "../../src/contract/session-spec.ts";
import type { SessionWorkload } from "../../src/contract/workload.ts";
import { markOf } from "../container-engine-world.ts";
import type { FakeCluster } from "./api-server.ts";

/** One agent's engine of sessions on a fake cluster; several of one state directory are one agent after the other. */
export interface ClusterUnderTest extends AsyncDisposable {
  readonly engine: SessionEngine;
  /** Whose discarded sessions may go; all are kept unless they are in here. */
  readonly unkept: Set<string>;
  readonly lines: () => readonly string[];
  /** What it found whenever the cluster answered. */
  readonly appearances: readonly (readonly FoundRun[])[];
  start(workload: SessionWorkload, generation?: number): Promise<SessionRun>;
  untilReady(): Promise<void>;
}

export interface ClusterWish {
  readonly cluster: FakeCluster;
  readonly stateDir?: string;
  readonly kubeconfig?: string;
  readonly serviceType?: "ClusterIP" | "NodePort" | "LoadBalancer";
  readonly ingressHost?: string;
  /** Stands before the cluster. */
  readonly around?: (fetch: HttpFetch) => HttpFetch;
}

const NO_FILES: WorkloadFiles = {
  directory: "",
  progressPath: "",
  rawOutputPath: "",
  logPath: "",
  previewPath: "",
};

export function openClusterUnderTest(wish: ClusterWish): ClusterUnderTest {
  const { cluster, stateDir = "/state", kubeconfig = cluster.kubeconfig, around } = wish;
  const life = new AbortController();
  const log = createMemoryLog();
  const unkept = new Set<string>();
  const appearances: (readonly FoundRun[])[] = [];
  const engine = openClusterEngine(
    {
      kubeconfig,
      namespace: "apps",
      serviceType: wish.serviceType ?? "ClusterIP",
      ingressHost: wish.ingressHost,
      ingressClass: undefined,
      storageClass: undefined,
      boxId: "box",
      stateDir,
    },
    {
      clock: systemClock,
      random: Math.random,
      log,
      progress: { advance: () => undefined, rest: () => undefined },
      signal: life.signal,
      createFetch: (trust) => around?.(createHttpFetch(trust)) ?? createHttpFetch(trust),
    },
  );
  const running = engine.run(life.signal, {
    onAppeared: async () => void appearances.push(await engine.sweep()),
    onChange: () => undefined,
    isAwaited: () => false,
    volumeRules: () => new Map(),
    isKept: (id) => !unkept.has(id),
  });
  return {
    engine,
    unkept,
    appearances,
    lines: () => log.lines,
    start: (workload, generation = 1) =>
      engine.start(
        markOf(workload, generation),
        { engine: "kubernetes", workload, signal: new AbortController().signal },
        NO_FILES,
      ),
    untilReady: async () => {
      const endMs = systemClock.monotonicMs() + 20_000;
      while (!engine.status().isReady) {
        if (systemClock.monotonicMs() > endMs) throw new AppError("timeout", `not ready: ${engine.status().reason}`);
        await systemClock.delay(20);
      }
    },
    [Symbol.asyncDispose]: async () => {
      life.abort();
      await running;
    },
  };
}

export function clusterSession(
  id: string,
  { image = "app:1", ...template }: Partial<SessionRunSpec["template"]> = {},
  spec: Partial<SessionRunSpec> = {},
): SessionWorkload {
  return { kind: "session", id, spec: { user: "anna", ...spec, template: { image, ...template } } };
}
