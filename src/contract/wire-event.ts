import type { Workload } from "./workload.ts";

/** What one event of the hub's (or of any SSE server's) means, after parsing. Shapes on the wire: `docs/protocol.md`. */
export type WireEvent =
  /** The whole set. Replaces what was held. */
  | {
      readonly kind: "snapshot";
      readonly epoch: string;
      readonly revision: number;
      readonly workloads: readonly Workload[];
      /** Workloads that could not be parsed, each with its reason. The rest of the event counts. */
      readonly rejected: readonly RejectedWorkload[];
      /** The sender knows that this may stop much. */
      readonly confirm: boolean;
    }
  /** One step from `revision - 1` to `revision`. */
  | {
      readonly kind: "change";
      readonly epoch: string | undefined;
      readonly revision: number;
      readonly put: readonly Workload[];
      readonly remove: readonly string[];
      readonly rejected: readonly RejectedWorkload[];
    }
  /** To be done once and answered in a report. */
  | {
      readonly kind: "command";
      readonly id: string;
      readonly name: string;
      readonly args: Readonly<Record<string, unknown>>;
      /** Wall time, milliseconds since the epoch. */
      readonly deadlineMs: number | undefined;
    }
  /** The box must wait (`pending`: for approval; `quarantined`: another machine goes by its identity). What it runs stays as it is. */
  | { readonly kind: "hold"; readonly reason: string }
  /** The box has all there is: the first event of a connection that brings nothing new. */
  | { readonly kind: "ready" }
  /** The simple form, for home-made servers: no epoch, no revision. */
  | { readonly kind: "start"; readonly workload: Workload }
  | { readonly kind: "stop"; readonly workloadId: string }
  | {
      readonly kind: "whole";
      readonly workloads: readonly Workload[];
      readonly rejected: readonly RejectedWorkload[];
      readonly confirm: boolean;
    };

export interface RejectedWorkload {
  /** The id it names, where it could be read. */
  readonly id: string | undefined;
  readonly reason: string;
}

/** Why an event was skipped. */
export type BadEventReason = "not-json" | "invalid" | "too-large" | "too-deep";
