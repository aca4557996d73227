import type { RemotePolicy } from "../contract/remote/remote-policy.ts";
import type { SessionPlatformName } from "../contract/session-spec.ts";
import type { StorageRule } from "../contract/transfer/storage-rule.ts";
import type { AllowedWay, Endpoint } from "../contract/transfer/worker-heartbeat.ts";

/** The agent's options after parsing. Keys, defaults, environment names and flags: `agent-options-table.ts`. */
export interface AgentOptions {
  readonly tunnels: {
    /** Where other boxes reach this box's gateways. */
    readonly address: string | undefined;
    readonly ports: { readonly from: number; readonly to: number };
    readonly stunnelPath: string;
    readonly uplinkMbit: number | undefined;
    /** Between two whole proofs of an end. */
    readonly proofPeriodMs: number;
  };
  readonly sessions: {
    /** The first that suits a session first. */
    readonly platforms: readonly SessionPlatformName[];
    /** Of them, those that somebody has set, or the socket of: one that is away is worth a warning. */
    readonly namedPlatforms: readonly SessionPlatformName[];
    readonly dockerSocket: string;
    readonly podmanSocket: string;
    readonly kubernetes: {
      /** Absent: the service account of the pod that the agent runs in. */
      readonly kubeconfig: string | undefined;
      readonly namespace: string;
      /** Who reaches the ports of sessions. */
      readonly serviceType: "ClusterIP" | "NodePort" | "LoadBalancer";
      /** Absent: no port is published by an Ingress. `{{session}}` and `{{port}}` stand for id and port. */
      readonly ingressHost: string | undefined;
      readonly ingressClass: string | undefined;
      readonly storageClass: string | undefined;
    };
    /** Where sessions can be reached where their ports name no address. */
    readonly address: string;
    /** Name of this box in their URLs; absent: the address that the port is on. */
    readonly urlHost: string | undefined;
    /** Of plain processes. */
    readonly ports: { readonly from: number; readonly to: number };
    readonly max: number;
    /** From a start or a wake until it may hibernate by itself. */
    readonly idleGraceMs: number;
  };
  readonly box: {
    readonly id: string;
    /** Somebody named it; else it is the host's name. */
    readonly isIdGiven: boolean;
    readonly name: string | undefined;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly link: {
    /** Absent: the agent keeps what it last knew and says that nothing tells it more. */
    readonly endpoint: string | undefined;
    /** Read again at each attempt, so that a rotated token needs no restart. */
    readonly tokenFile: string | undefined;
    /** From the environment (`SLUICE_TOKEN`); never together with a file. A secret: the redactor must know it. */
    readonly token: string | undefined;
    readonly caFile: string | undefined;
    /** Both or neither: what this box shows to a hub that takes boxes by certificate. */
    readonly certFile?: string | undefined;
    readonly keyFile?: string | undefined;
    /** By which this box enrols with a hub when it has no key yet. A secret. */
    readonly enrolmentToken: string | undefined;
    readonly enrolmentTokenFile: string | undefined;
    /** Age at which the box changes its key. 0: never by itself. */
    readonly keyRotationMs: number;
    /** First ceiling of the back-off between attempts. */
    readonly retryDelayMs: number;
    /** Attempts without an event after which the link is called degraded. Never stops it. */
    readonly maxRetries: number;
    /** From the dial to the answer's headers. */
    readonly connectTimeoutMs: number;
    /** Starts that come within this time of a connect are the whole set. 0: off. */
    readonly replayWindowMs: number;
  };
  readonly report: { readonly endpoint: string | undefined; readonly intervalMs: number };
  readonly streams: {
    readonly outputTemplate: string | undefined;
    readonly ffmpegPath: string;
    readonly ffprobePath: string;
    /** From launch to first media. */
    readonly startDeadlineMs: number;
    /** Counters that do not move for this long mean a stall. */
    readonly stallMs: number;
    /** `replace`: never two processes of one stream, not even for a moment. */
    readonly update: "auto" | "replace";
    /** From the launch of a changed stream beside its old self to steady media. */
    readonly updateDeadlineMs: number;
  };
  readonly transfer: {
    /** None: this box takes part in no transfer. */
    readonly storages: readonly StorageRule[];
    /** Absent: nobody can dial this box's data plane. */
    readonly listen: { readonly host: string; readonly port: number } | undefined;
    /** How others reach it; empty: where it listens. */
    readonly endpoints: readonly Endpoint[];
    readonly ways: readonly AllowedWay[];
    /** Leases at a time. */
    readonly maxStreams: number;
    /** Each way. */
    readonly maxBytesPerSecond: number | undefined;
  };
  /** Where Prometheus reads; absent: on the agent's socket alone. */
  readonly metrics: { readonly listen: { readonly host: string; readonly port: number } | undefined };
  readonly boot: { readonly onReboot: "clear" | "resume"; readonly detectionThresholdMs: number };
  readonly reconcile: { readonly shrinkHoldMs: number; readonly intervalMs: number };
  readonly shutdown: { readonly streams: "keep" | "stop" };
  readonly guard: GuardOptions;
  readonly policy: BoxPolicy;
  readonly files: {
    readonly stateDir: string;
    readonly registry: string;
    readonly persistentState: string;
    readonly log: string;
  };
  readonly log: {
    readonly level: "error" | "warn" | "info" | "debug";
    readonly maxFileBytes: number;
    readonly keepFiles: number;
  };
}

/** What holds streams to their share of the box. A number that is 0 switches its rule off. */
export interface GuardOptions {
  /** For a workload that names no limit of its own. */
  readonly memoryBytes: number | undefined;
  readonly cpuCores: number | undefined;
  /** Ceilings, whatever the hub says. */
  readonly maxMemoryBytes: number | undefined;
  readonly maxCpuCores: number | undefined;
  readonly cgroups: "auto" | "off";
  readonly nice: number;
  readonly admissionCpuPercent: number;
  readonly shedCpuPercent: number;
  readonly memoryFreePercent: number;
  /** Free space below which nothing is recorded below a file root. */
  readonly diskFreeBytes: number;
  readonly recordingsBytes: number | undefined;
  readonly deleteRecordings: boolean;
  readonly logsBytes: number;
}

/** What this box allows, whatever the hub says. */
export interface StreamPolicy {
  /** URL schemes. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Hosts that inputs and outputs may name; empty: any. `*.example.com` allows subdomains. */
  readonly hosts: readonly string[];
  /** Directories that files may be read from and written to. */
  readonly fileRoots: readonly string[];
  /** Hosts whose inputs serve one reader at a time. Patterns as in `hosts`. */
  readonly exclusiveInputs: readonly string[];
  readonly rawArguments: boolean;
}

/** What a box allows, whatever kind of workload it is. */
export interface BoxPolicy extends StreamPolicy {
  /** Hosts that a tunnel's producer end may lead to; empty: any. Patterns as in `hosts`. */
  readonly tunnelSources: readonly string[];
  /** Patterns of images that sessions may run; none: no image. */
  readonly images: readonly string[];
  /** Programs that sessions may run as plain processes; none: no program. */
  readonly sessionCommands: readonly string[];
  /** Directories that sessions may use, with all below them. */
  readonly sessionMounts: readonly string[];
  /** What operators may do from afar. */
  readonly remote: RemotePolicy;
}
