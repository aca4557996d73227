/** How a session ended at a router. Names are those of `EndReason` in the contract. */
export interface SessionEnd {
  readonly reason: SessionEndReason;
  /** One sentence for people. */
  readonly message: string;
  /** The side that went first; absent: the router ended it. */
  readonly by?: "operator" | "box";
}

export type SessionEndReason =
  /** Both sides closed in order. */
  | "peer-done"
  /** A side's connection broke; may be joined again. */
  | "peer-lost"
  | "rendezvous-timeout"
  /** A side joined again: the newest wins. */
  | "replaced"
  | "idle"
  | "max-age"
  | "terminated"
  | "draining"
  | "protocol";
