import { parseBytes, parseCores } from "../contract/quantity.ts";
import { parseEndpointRule, parseStorageRule } from "../contract/transfer/storage-rule.ts";
import type { AgentOptions } from "./agent-options.ts";
import type { AgentOptionKey, AgentOptionValues } from "./agent-options-table.ts";

const DAY_MS = 86_400_000;
/** As Kubernetes has them. */
const SERVICE_TYPES = { "cluster-ip": "ClusterIP", "node-port": "NodePort", "load-balancer": "LoadBalancer" } as const;

/** From the table's flat keys and seconds to what the agent works with. */
export function toAgentOptions(
  values: AgentOptionValues,
  { token, given }: { readonly token: string | undefined; readonly given: ReadonlySet<AgentOptionKey> },
): AgentOptions {
  return {
    box: {
      id: values["box.id"],
      isIdGiven: given.has("box.id"),
      name: values["box.name"],
      labels: values["box.labels"],
    },
    link: {
      endpoint: values["link.endpoint"],
      tokenFile: values["link.tokenFile"],
      token,
      caFile: values["link.caFile"],
      certFile: values["link.certFile"],
      keyFile: values["link.keyFile"],
      enrolmentToken: values["link.enrolmentToken"],
      enrolmentTokenFile: values["link.enrolmentTokenFile"],
      keyRotationMs: values["link.keyRotationDays"] * DAY_MS,
      retryDelayMs: toMs(values["link.retryDelaySeconds"]),
      maxRetries: values["link.maxRetries"],
      connectTimeoutMs: toMs(values["link.connectTimeoutSeconds"]),
      replayWindowMs: toMs(values["link.replayWindowSeconds"]),
    },
    report: { endpoint: values["report.endpoint"], intervalMs: toMs(values["report.intervalSeconds"]) },
    streams: {
      outputTemplate: values["streams.outputTemplate"],
      ffmpegPath: values["streams.ffmpegPath"],
      ffprobePath: values["streams.ffprobePath"],
      startDeadlineMs: toMs(values["streams.startDeadlineSeconds"]),
      stallMs: toMs(values["streams.stallSeconds"]),
      update: values["streams.update"],
      updateDeadlineMs: toMs(values["streams.updateDeadlineSeconds"]),
    },
    tunnels: {
      address: values["tunnels.address"],
      ports: toPortRange(values["tunnels.ports"]),
      stunnelPath: values["tunnels.stunnelPath"],
      uplinkMbit: values["tunnels.uplinkMbit"],
      proofPeriodMs: toMs(values["tunnels.proofSeconds"]),
    },
    sessions: {
      platforms: values["sessions.platforms"],
      namedPlatforms: namedPlatforms(values, given),
      dockerSocket: values["sessions.dockerSocket"],
      podmanSocket: values["sessions.podmanSocket"],
      kubernetes: {
        kubeconfig: values["kubernetes.kubeconfig"],
        namespace: values["kubernetes.namespace"],
        serviceType: SERVICE_TYPES[values["kubernetes.service"]],
        ingressHost: values["kubernetes.ingressHost"],
        ingressClass: values["kubernetes.ingressClass"],
        storageClass: values["kubernetes.storageClass"],
      },
      address: values["sessions.address"],
      urlHost: values["sessions.urlHost"],
      ports: toPortRange(values["sessions.ports"]),
      max: values["sessions.max"],
      idleGraceMs: toMs(values["sessions.idleGraceSeconds"]),
    },
    transfer: {
      storages: values["transfer.storages"].flatMap((text) => parseStorageRule(text) ?? []),
      listen: toListen(values["transfer.listen"]),
      endpoints: values["transfer.endpoints"].flatMap((text) => parseEndpointRule(text) ?? []),
      ways: values["transfer.ways"],
      maxStreams: values["transfer.maxStreams"],
      maxBytesPerSecond: toBytesPerSecond(values["transfer.maxRateMbit"]),
    },
    metrics: { listen: toListen(values["metrics.listen"]) },
    boot: {
      onReboot: values["boot.onReboot"],
      detectionThresholdMs: toMs(values["boot.detectionThresholdSeconds"]),
    },
    reconcile: {
      shrinkHoldMs: toMs(values["reconcile.shrinkHoldSeconds"]),
      intervalMs: toMs(values["reconcile.intervalSeconds"]),
    },
    shutdown: { streams: values["shutdown.streams"] },
    guard: {
      memoryBytes: parseBytes(values["guard.memory"] ?? ""),
      cpuCores: parseCores(values["guard.cpu"] ?? ""),
      maxMemoryBytes: parseBytes(values["guard.maxMemory"] ?? ""),
      maxCpuCores: parseCores(values["guard.maxCpu"] ?? ""),
      cgroups: values["guard.cgroups"],
      nice: values["guard.nice"],
      admissionCpuPercent: values["guard.admissionCpuPercent"],
      shedCpuPercent: values["guard.shedCpuPercent"],
      memoryFreePercent: values["guard.memoryFreePercent"],
      diskFreeBytes: values["guard.diskFreeBytes"],
      recordingsBytes: values["guard.recordingsBytes"],
      deleteRecordings: values["guard.deleteRecordings"],
      logsBytes: values["guard.logsBytes"],
    },
    policy: {
      inputs: values["policy.inputs"],
      outputs: values["policy.outputs"],
      hosts: values["policy.hosts"],
      fileRoots: values["policy.fileRoots"],
      exclusiveInputs: values["policy.exclusiveInputs"],
      rawArguments: values["policy.rawArguments"],
      tunnelSources: values["policy.tunnelSources"],
      images: values["policy.images"],
      sessionCommands: values["policy.sessionCommands"],
      sessionMounts: values["policy.sessionMounts"],
      remote: {
        operators: values["policy.remote.operators"],
        commands: values["policy.remote.commands"],
        shell: values["policy.remote.shell"],
        users: values["policy.remote.users"],
        directories: values["policy.remote.directories"],
        environment: values["policy.remote.environment"],
        forward: values["policy.remote.forward"],
        sessions: values["policy.remote.sessions"],
        rsync: values["policy.remote.rsync"],
      },
    },
    files: {
      stateDir: values["files.stateDir"],
      registry: values["files.registry"],
      persistentState: values["files.persistentState"],
      log: values["files.log"],
    },
    log: {
      level: values["log.level"],
      maxFileBytes: values["log.maxFileBytes"],
      keepFiles: values["log.keepFiles"],
    },
  };
}

function namedPlatforms(
  values: AgentOptionValues,
  given: ReadonlySet<AgentOptionKey>,
): AgentOptions["sessions"]["namedPlatforms"] {
  const isAsked = { docker: given.has("sessions.dockerSocket"), podman: given.has("sessions.podmanSocket") };
  return values["sessions.platforms"].filter(
    (platform) =>
      given.has("sessions.platforms") || ((platform === "docker" || platform === "podman") && isAsked[platform]),
  );
}

function toListen(text: string | undefined): AgentOptions["metrics"]["listen"] {
  if (text === undefined) return undefined;
  const colon = text.lastIndexOf(":");
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) };
}

function toBytesPerSecond(mbit: number | undefined): number | undefined {
  return mbit === undefined ? undefined : (mbit * 1e6) / 8;
}

function toPortRange(text: string): AgentOptions["tunnels"]["ports"] {
  const [from = 0, to = 0] = text.split("-").map(Number);
  return { from, to };
}

function toMs(seconds: number): number {
  return Math.round(seconds * 1000);
}
