import { randomBytes, randomUUID } from "node:crypto";
import { systemClock } from "../../src/base/clock.ts";
import type { ClusterObject } from "./cluster-object.ts";
import { type ObjectStore, wholeSeconds } from "./object-store.ts";

/** What an image's program does. */
export interface ImageProgram {
  /** Until it accepts; 20 ms unless given. */
  readonly readyAfterMs?: number;
  /** It ends by itself after so long; it may also be ended by a test. */
  readonly ends?: { readonly afterMs: number; readonly exitCode: number; readonly reason: "Error" | "OOMKilled" };
  /** It takes no notice of SIGTERM for so long. */
  readonly stopMs?: number;
}

/** Deployments, their pods and what runs in them: as slow as a test can bear. */
export interface Kubelet extends AsyncDisposable {
  /** Those that can be fetched. */
  readonly images: Map<string, ImageProgram>;
  /** No node takes any pod while this is set. */
  unschedulable: string | undefined;
  logs(pod: string, isPrevious: boolean): PodLog | undefined;
  /** The session's program ends by itself. */
  end(session: string, exitCode: number): void;
  /** What the session's program writes. */
  write(session: string, text: string): void;
  remove(pod: string, graceSeconds: number | undefined): void;
}

export interface PodLog {
  readonly lines: readonly { readonly time: string; readonly text: string }[];
  isOver: boolean;
  onChange: Set<() => void>;
}

const STEP_MS = 20;
const BACK_OFF_MS = 300;
const NODE = "192.0.2.7";

interface Running {
  readonly session: string;
  container: { readonly id: string; readonly log: PodLog & { lines: { time: string; text: string }[] } } | undefined;
  previous: PodLog | undefined;
  exitCode: number | undefined;
  restarts: number;
  runs: number;
  sinceMs: number;
  phase: "waiting" | "running" | "ended" | "backing-off" | "stopping";
}

export function createKubelet(store: ObjectStore): Kubelet {
  const images = new Map<string, ImageProgram>();
  const pods = new Map<string, Running>();
  const life = new AbortController();
  const kubelet = { unschedulable: undefined as string | undefined };

  const setStatus = (
    pod: ClusterObject,
    state: object,
    more: { ready?: boolean; lastState?: object; phase?: string } = {},
  ) => {
    const one = pods.get(pod.metadata.name);
    const old = pod.status?.containerStatuses?.[0];
    const ready = more.ready ?? false;
    store.put({
      ...pod,
      status: {
        phase: more.phase ?? "Running",
        hostIP: NODE,
        conditions: [
          { type: "PodScheduled", status: "True" },
          { type: "Ready", status: ready ? "True" : "False" },
        ],
        containerStatuses: [
          {
            name: "session",
            image: pod.spec.containers[0].image,
            imageID: "",
            ready,
            restartCount: one?.restarts ?? 0,
            ...(one?.container === undefined ? {} : { containerID: one.container.id }),
            state,
            lastState: more.lastState ?? old?.lastState ?? {},
          },
        ],
      },
    });
  };

  const endLog = (one: Running) => {
    const log = one.container?.log;
    if (log === undefined) return;
    log.isOver = true;
    for (const tell of log.onChange) tell();
  };

  const begin = (pod: ClusterObject, one: Running) => {
    one.previous = one.container?.log ?? one.previous;
    one.container = {
      id: `containerd://${randomBytes(16).toString("hex")}`,
      log: { lines: [], isOver: false, onChange: new Set() },
    };
    one.runs += 1;
    one.phase = "running";
    one.sinceMs = systemClock.monotonicMs();
    write(one, `${one.session} runs for the ${one.runs}. time in ${pod.metadata.name}`);
    setStatus(pod, { running: { startedAt: wholeSeconds() } });
  };

  const write = ({ container }: Running, text: string) => {
    if (container === undefined) return;
    const time = new Date(systemClock.wallMs()).toISOString();
    container.log.lines.push({ time: time.replace("Z", `${randomDigits()}Z`), text });
    for (const tell of container.log.onChange) tell();
  };

  const stepPod = (pod: ClusterObject, one: Running) => {
    const nowMs = systemClock.monotonicMs();
    const [container] = pod.spec.containers;
    const program = images.get(container.image);
    const sinceMs = nowMs - one.sinceMs;
    if (one.phase === "stopping") {
      if (sinceMs >= (program?.stopMs ?? STEP_MS)) drop(pod.metadata.name);
      return;
    }
    if (one.phase === "waiting") {
      if (sinceMs < STEP_MS) return;
      if (kubelet.unschedulable !== undefined) {
        const message = kubelet.unschedulable;
        store.put({
          ...pod,
          status: {
            phase: "Pending",
            conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message }],
          },
        });
        return;
      }
      const lacking = lackOf(pod);
      if (lacking !== undefined) {
        setStatus(pod, { waiting: { reason: "CreateContainerConfigError", message: lacking } }, { phase: "Pending" });
      } else if (program === undefined) {
        const message = `Back-off pulling image "${container.image}"`;
        setStatus(pod, { waiting: { reason: "ImagePullBackOff", message } }, { phase: "Pending" });
      } else begin(pod, one);
      return;
    }
    const { ends } = program ?? {};
    if (one.phase === "running" && (one.exitCode !== undefined || (ends !== undefined && sinceMs >= ends.afterMs))) {
      const exitCode = one.exitCode ?? ends?.exitCode;
      const reason = ends?.reason ?? "Error";
      const terminated = { exitCode, reason, finishedAt: wholeSeconds(), containerID: one.container?.id };
      endLog(one);
      one.exitCode = undefined;
      one.phase = "backing-off";
      one.restarts += 1;
      one.sinceMs = nowMs;
      const waiting = { reason: "CrashLoopBackOff", message: "back-off 10s restarting failed container=session" };
      setStatus(pod, { waiting }, { lastState: { terminated } });
      return;
    }
    if (one.phase === "backing-off" && sinceMs >= BACK_OFF_MS) {
      begin(pod, one);
      return;
    }
    const isReady = one.phase === "running" && sinceMs >= (program?.readyAfterMs ?? STEP_MS);
    if (isReady && pod.status?.containerStatuses?.[0]?.ready !== true) {
      setStatus(pod, { running: { startedAt: wholeSeconds() } }, { ready: true });
    }
  };

  const lackOf = (pod: ClusterObject): string | undefined => {
    for (const volume of pod.spec.volumes ?? []) {
      const claim = volume.persistentVolumeClaim?.claimName;
      if (claim !== undefined && store.get("PersistentVolumeClaim", claim) === undefined)
        return `claim "${claim}" not found`;
    }
    for (const variable of pod.spec.containers[0].env ?? []) {
      const secret = variable.valueFrom?.secretKeyRef?.name;
      if (secret !== undefined && store.get("Secret", secret) === undefined) return `secret "${secret}" not found`;
    }
    return undefined;
  };

  const drop = (name: string) => {
    const one = pods.get(name);
    if (one !== undefined) endLog(one);
    pods.delete(name);
    store.remove("Pod", name);
  };
  const remove = (name: string, graceSeconds: number | undefined) => {
    const pod = store.get("Pod", name);
    const one = pods.get(name);
    if (pod === undefined || one === undefined) return;
    if (graceSeconds === 0) return drop(name);
    if (one.phase === "stopping") return;
    one.phase = "stopping";
    one.sinceMs = systemClock.monotonicMs();
    store.put({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: wholeSeconds() } });
  };

  const stepDeployment = (deployment: ClusterObject) => {
    const { name } = deployment.metadata;
    const template = JSON.stringify(deployment.spec.template);
    const own = store.list("Pod").filter(({ metadata }) => metadata.annotations?.["fake/deployment"] === name);
    const fit = own.filter(({ metadata }) => metadata.annotations?.["fake/template"] === template);
    const wanted = deployment.spec.replicas ?? 1;
    for (const pod of own) if (wanted === 0 || !fit.includes(pod)) remove(pod.metadata.name, undefined);
    // Recreate: nothing new before all the old is gone.
    if (wanted === 0 || own.length > 0) return;
    const podName = `${name}-${randomBytes(4).toString("hex")}`;
    pods.set(podName, {
      session: deployment.metadata.labels?.["sluice.workload"] ?? "",
      container: undefined,
      previous: undefined,
      exitCode: undefined,
      restarts: 0,
      runs: 0,
      sinceMs: systemClock.monotonicMs(),
      phase: "waiting",
    });
    store.put({
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: podName,
        namespace: deployment.metadata.namespace,
        uid: randomUUID(),
        resourceVersion: "",
        labels: deployment.spec.template.metadata.labels,
        annotations: { "fake/deployment": name, "fake/template": template },
        creationTimestamp: new Date(systemClock.wallMs()).toISOString(),
      },
      spec: deployment.spec.template.spec,
      status: { phase: "Pending" },
    });
  };

  const running = (async () => {
    while (!life.signal.aborted) {
      for (const deployment of store.list("Deployment")) stepDeployment(deployment);
      for (const pod of store.list("Pod")) {
        const owner = pod.metadata.annotations?.["fake/deployment"] ?? "";
        if (store.get("Deployment", owner) === undefined) remove(pod.metadata.name, undefined);
        const one = pods.get(pod.metadata.name);
        const current = store.get("Pod", pod.metadata.name);
        if (one !== undefined && current !== undefined) stepPod(current, one);
      }
      await systemClock.delay(STEP_MS, life.signal).catch(() => undefined);
    }
  })();

  return Object.assign(kubelet, {
    images,
    logs: (pod: string, isPrevious: boolean) => (isPrevious ? pods.get(pod)?.previous : pods.get(pod)?.container?.log),
    end: (session: string, exitCode: number) => {
      for (const one of pods.values()) if (one.session === session) one.exitCode = exitCode;
    },
    write: (session: string, text: string) => {
      for (const one of pods.values()) if (one.session === session) write(one, text);
    },
    remove,
    [Symbol.asyncDispose]: async () => {
      life.abort();
      await running;
    },
  });
}

function randomDigits(): string {
  return String(randomBytes(3).readUIntBE(0, 3) % 1_000_000).padStart(6, "0");
}
