import type { Clock } from "../../../base/clock.ts";
import type { RunProgram } from "../../../base/spawn.ts";
import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import type { TunnelProof } from "../../../contract/tunnel-status.ts";
import type { TunnelFiles } from "./tunnel-files.ts";

export interface ProofRequest {
  readonly spec: TunnelSpec;
  readonly files: TunnelFiles;
  /** Of the running stunnel. */
  readonly pid: number;
  readonly stunnelPath: string;
  /** Counts the proofs: each attacks the next of the legs that are alike. */
  readonly round: number;
}

export interface ProofDeps {
  readonly runProgram: RunProgram;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface ProofVerdict {
  readonly proof: TunnelProof;
  /** Every attack was refused and, at the consumer's end, the peer is the pinned one and the source was reached. */
  readonly isProved: boolean;
  /** Why not. */
  readonly reason?: string;
  /** What failed is of this end's own process, so that a new start would help: it does not listen as it was asked to. */
  readonly needsRestart: boolean;
  /** Of the own handshake with the peer. */
  readonly latencyMs?: number;
}

/** Attacks one end and, at the consumer's, shakes hands with the peer. Never rejects but with the signal's reason. */
export type ProveTunnel = (request: ProofRequest, deps: ProofDeps) => Promise<ProofVerdict>;
