import type { Clock } from "../../../base/clock.ts";
import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";
import type { TunnelFiles } from "./tunnel-files.ts";

export interface HandshakeRequest {
  readonly spec: TunnelSpec;
  readonly files: TunnelFiles;
  /** Which leg. */
  readonly leg: number;
}

export interface HandshakeDeps {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** How far the consumer's end came, opening a connection of its own to the producer's gateway. */
export interface Handshake {
  /** The peer is the pinned one, or has the shared key; and it has taken ours. */
  readonly isTrusted: boolean;
  /** Whether what lies behind the producer's end takes connections. `undefined` where it could not be told. */
  readonly isSourceReached: boolean | undefined;
  readonly protocol?: string;
  readonly cipher?: string;
  /** SHA-256 of the certificate that the peer showed, or the identity of the key. */
  readonly peer?: string;
  /** From the first packet until the handshake was complete. */
  readonly latencyMs?: number;
  /** A byte of the source's came, or none, for it waits for the first word. */
  readonly through?: "byte" | "handshake";
  /** What is wrong, where anything is. */
  readonly reason?: string;
}

/** Never rejects but with the signal's reason. At most `HANDSHAKE_LIMIT_MS`. */
export type ShakeHands = (request: HandshakeRequest, deps: HandshakeDeps) => Promise<Handshake>;
