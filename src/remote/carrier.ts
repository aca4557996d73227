import type { Socket } from "node:net";
import { END_REASONS } from "../contract/remote/end-reason.ts";

/** One gRPC call on which both ends of a session have met: it carries whole frames, in order, until it ends. */
export interface Carrier {
  readonly sessionId: string;
  readonly routerId: string;
  /** What the other end calls itself: `sluice/0.1.0`. */
  readonly peerClient: string;
  /** Where both ends may meet beside it; absent: nowhere. */
  readonly lane?: LaneOffer | undefined;
  /** Once. What came before is told at once. */
  listen(handlers: CarrierHandlers): void;
  /** One encoded frame, in pieces. Always taken; `false`: no more before `onDrain`. */
  send(pieces: readonly Uint8Array[]): boolean;
  /** Ends it in order: what was sent arrives first. */
  finish(): void;
  /** Ends it at once. */
  cut(): void;
}

/** A connection of each end to the router, which carries bytes between them and knows nothing of them. */
export interface LaneOffer {
  /** Dials when it is called first, and gives the same every time. Rejects as `dialLane` does. */
  meet(): Promise<Socket>;
  /** It was of no use, or did not last: the next sessions at this router had better not wait for one. */
  failed(): void;
}

export interface CarrierHandlers {
  /** One encoded frame, in the pieces in which it came. */
  onFrame(pieces: readonly Uint8Array[]): void;
  onDrain(): void;
  /** Once; nothing comes after it. */
  onEnd(end: CarrierEnd): void;
}

/**
 * The router's own words; `broken`: the connection ended without any. `refused`: the operator's end did not prove itself, by the box's
 * word. `tampered`: the router has changed what it carries, or stands in for the other end.
 */
export const CARRIER_END_REASONS = [...END_REASONS, "broken", "refused", "tampered"] as const;
export type CarrierEndReason = (typeof CARRIER_END_REASONS)[number];

export interface CarrierEnd {
  readonly reason: CarrierEndReason;
  /** One sentence for people. */
  readonly message: string;
}
