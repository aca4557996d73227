import type { HostPort } from "./store-address.ts";

/** The options of a router of its own, after parsing. Keys, defaults, environment names and flags: `router-options-table.ts`. */
export interface RouterProgramOptions {
  /** As hubs know it and tickets name it. */
  readonly id: string;
  readonly server: HostPort & {
    /** Where boxes and operators reach it. */
    readonly publicUrl: string;
    /** Where the other routers behind the same `publicUrl` reach this one. */
    readonly peerUrl: string | undefined;
    readonly drainMs: number;
  };
  /** Absent: without encryption. */
  readonly tls:
    | { readonly certFile: string; readonly keyFile: string; readonly caFile: string | undefined }
    | undefined;
  readonly hub: { readonly url: string; readonly tokenFile: string; readonly caFile: string | undefined };
  readonly limits: { readonly sessions: number; readonly sessionsPerOperator: number; readonly windowBytes: number };
  readonly metrics: HostPort | undefined;
  readonly log: { readonly level: "error" | "warn" | "info" | "debug" };
}
