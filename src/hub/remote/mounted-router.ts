import type { Duplex } from "node:stream";
import type { EndReasonName } from "../../contract/remote/end-reason.ts";

/** A router that runs in this process, as far as the hub needs it. `src/router` makes it, and whoever wires the hub puts it in. */
export interface MountedRouter {
  readonly id: string;
  /** A connection that speaks HTTP/2 is the router's from now on. `isLaneOnly`: it came without TLS to a port that has it. */
  serve(socket: Duplex, how?: { readonly isLaneOnly?: boolean }): void;
  list(): readonly MountedSession[];
  /** False: there is no such session here. */
  terminate(sessionId: string, message: string): boolean;
  drain(withinMs: number): Promise<void>;
  readonly isDraining: boolean;
  /** Prometheus text. */
  metrics(): string;
}

export interface MountedSession {
  readonly id: string;
  readonly ageMs: number;
  readonly bytesToBox: number;
  readonly bytesFromBox: number;
  /** Sides that are here. */
  readonly sides: readonly ("operator" | "box")[];
  /** How long the box, or the operator's program, has not read what waits for it; 0: it reads. */
  readonly boxStalledMs: number;
  readonly operatorStalledMs: number;
  /** Since it last said anything at all. */
  readonly boxQuietMs: number;
  readonly operatorQuietMs: number;
}

export type MountedEvent =
  | { readonly kind: "waiting"; readonly session: MountedSession }
  | { readonly kind: "open"; readonly session: MountedSession }
  | {
      readonly kind: "ended";
      readonly session: MountedSession;
      /** `by`: the end that went first; absent: the router itself, or nobody knows. */
      readonly end: {
        readonly reason: EndReasonName;
        readonly message: string;
        readonly by?: "operator" | "box" | undefined;
      };
    };
