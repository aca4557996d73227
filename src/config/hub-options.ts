import type { RecordingMode } from "../contract/fleet/remote-recording.ts";
import type { HostPort, RedisAddress, StoreAddress } from "./store-address.ts";
/** The hub's options after parsing. Keys, defaults, environment names and flags: `hub-options-table.ts`. */
export interface HubOptions {
  readonly server: {
    readonly host: string;
    /** 0: a free one. */
    readonly port: number;
    /** Where boxes and people reach it. Absent: made from the address that it listens on and the host's name. */
    readonly publicUrl: string | undefined;
    /** Where boxes reach this very hub of several. Absent: with one hub as `publicUrl`, with several made from what it listens on. */
    readonly ownUrl?: string | undefined;
    readonly trustedProxies: readonly string[];
    readonly drainMs: number;
  };
  /** Where the metrics are served without a token. */
  readonly metrics?: HostPort | undefined;
  readonly tls: {
    readonly mode: "generated" | "files" | "off";
    /** Both with `files`. */
    readonly certFile: string | undefined;
    readonly keyFile: string | undefined;
    /** Names and addresses that a generated certificate holds, beside those of the host. */
    readonly names: readonly string[];
    /** Authorities whose client certificates boxes show. */
    readonly clientCaFile?: string | undefined;
    /** Of boxes, with `clientCaFile`: whether one without is let in. */
    readonly clientCertificates?: "required" | "asked";
  };
  readonly store: StoreOptions;
  readonly secrets?: {
    /** Encrypts secrets in the store. Absent: the hub's own file, where it has a store of its own; else none. */
    readonly keyFile: string | undefined;
  };
  readonly webhooks?: {
    /** Special ranges that webhooks may lead to all the same. */
    readonly allowedNetworks: readonly string[];
  };
  readonly enrolment: { readonly approval: "automatic" | "manual" };
  readonly limits: {
    readonly operatorPerSecond: number;
    readonly boxPerSecond: number;
    readonly workerPerSecond: number;
    readonly addressPerSecond: number;
  };
  readonly sessions?: {
    /** Absent: no limit. */
    readonly perUser: number | undefined;
  };
  readonly remote?: {
    readonly enabled: boolean;
    readonly ownRouter: boolean;
    readonly perUser: number;
    readonly total: number;
    readonly idleSeconds: number;
    readonly maxSeconds: number;
    readonly resumeSeconds: number;
    readonly recordings?: RecordingMode;
    /** Absent: recordings have no greatest age. */
    readonly recordingDays?: number | undefined;
  };
  readonly files: { readonly dataDir: string };
  readonly log: { readonly level: "error" | "warn" | "info" | "debug" };
}

export type StoreOptions =
  | Exclude<StoreAddress, RedisAddress>
  | (RedisAddress & {
      /** It beats the password of the address. */
      readonly passwordFile: string | undefined;
      readonly caFile: string | undefined;
      readonly prefix: string;
      readonly replicas: number;
    });
