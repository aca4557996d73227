import type { KeyObject } from "node:crypto";
import type { Duplex } from "node:stream";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { RouterAddress } from "../contract/remote/offer.ts";
import type { SessionEnd } from "./session-end.ts";

export interface RouterOptions {
  /** Tickets name it as their audience. */
  readonly id: string;
  /** Sessions at a time, in total and of one operator. */
  readonly limits: { readonly sessions: number; readonly sessionsPerOperator: number };
  /** How long one side waits for the other. */
  readonly rendezvousMs: number;
  /** Receive windows beyond the small ones that everybody has, over all connections. */
  readonly windowBudgetBytes: number;
  /** Connections without TLS reach it, on the port that clients dial, whether that has TLS or not: there the ends of a session may meet on a lane. */
  readonly hasLanes: boolean;
}

export interface RouterDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly ticketKeys: TicketKeys;
  /** Where calls go whose tickets are for other routers. Absent: they are refused. */
  readonly peers?: RouterPeers;
  /** What becomes of sessions, in order. Must not throw. */
  readonly onEvent?: (event: RouterEvent) => void;
}

/** Public keys of the hub that signs tickets. */
export interface TicketKeys {
  get(id: string): KeyObject | undefined;
  /** Called where a ticket names a key that is not there; `get` is asked once more after it. Absent: what is there is all. */
  refresh?(): Promise<void>;
}

/** The other routers behind the same address. */
export interface RouterPeers {
  get(id: string): RouterAddress | undefined;
  /** Called where one is not there; `get` is asked once more after it. */
  refresh(): Promise<void>;
}

/** A session as this router sees it, which is: two streams, or one that waits. */
export interface RouterSession {
  readonly id: string;
  readonly box: string;
  readonly operator: string;
  /** Kind of operation: `exec`, `forward`, … */
  readonly operation: string;
  readonly state: "waiting" | "open";
  /** Sides that are here. */
  readonly sides: readonly ("operator" | "box")[];
  readonly ageMs: number;
  /** Since the last frame other than those of the link. */
  readonly idleMs: number;
  /** gRPC messages with their prefixes, and what lanes carried. */
  readonly bytesToBox: number;
  readonly bytesFromBox: number;
  /** How long the box, or the operator's program, has not read what waits for it; 0: it reads. */
  readonly boxStalledMs: number;
  readonly operatorStalledMs: number;
  /** Since the box, or the operator's program, last said anything at all; 0: it is not here. */
  readonly boxQuietMs: number;
  readonly operatorQuietMs: number;
}

export type RouterEvent =
  /** One side came first. */
  | { readonly kind: "waiting"; readonly session: RouterSession }
  /** Both are here. */
  | { readonly kind: "open"; readonly session: RouterSession }
  /** The router has forgotten it. It may be joined again with new tickets, unless `end.reason` says otherwise. */
  | { readonly kind: "ended"; readonly session: RouterSession; readonly end: SessionEnd };

export interface Router {
  readonly id: string;
  /**
   * Takes over a connection that speaks HTTP/2 or carries one bare call (`bare-stream.ts`): a TLS socket that agreed on one of them, or a
   * plain one whose unread bytes begin with a preface. Everything on it is the router's from now on, errors included. `isLaneOnly`: it came
   * without TLS to a port that has it, and may be one end's of a lane and nothing else.
   */
  serve(socket: Duplex, options?: { readonly isLaneOnly?: boolean }): void;
  list(): RouterSession[];
  /** Tells both sides `TERMINATED` with this sentence. False: there is no such session here. */
  terminate(sessionId: string, message: string): boolean;
  /**
   * No new joins from now on. Sessions are told `DRAINING`, spread over half of this time; what is left at its end is cut, with all
   * connections. Resolves when nothing is left; a second call gets the same promise.
   */
  drain(withinMs: number): Promise<void>;
  readonly isDraining: boolean;
  /** Prometheus text. */
  metrics(): string;
}
