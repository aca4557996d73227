import type {
  AgentStatus,
  CleanupResult,
  CleanupWish,
  Explanation,
  ReconcileResult,
} from "../../contract/local-status.ts";
import type { DeclaredPort } from "../../contract/remote/operation.ts";
import type { SessionPlace } from "../../contract/session-status.ts";

/** What the local API tells and asks. Everything is bounded by whoever implements it; nothing waits for the network. */
export interface LocalApiSource {
  status(): AgentStatus;
  /** Also for an id that nothing knows: that is an answer too. */
  explain(id: string): Explanation;
  /** In the text format of Prometheus. */
  metrics(): Promise<string>;
  /** Resolves when a lap that began after the call has ended. */
  reconcile(): Promise<ReconcileResult>;
  /** Ends processes that prove to be ours; which ones, the wish says. What is expected is started anew. */
  cleanup(wish: CleanupWish): Promise<CleanupResult>;
  /** This session is used. False: it is none, or it sleeps. */
  touch(id: string): boolean;
  /**
   * Where a port that this session declares is reached from this box now. Rejects with `not-found` (no such session here, or it
   * declares no such port), `conflict` (it sleeps, or has ended) or `unavailable` (it is on its way, or its platform is away).
   */
  place(id: string, port: DeclaredPort): Promise<SessionPlace>;
  /** Path of a workload's log, or of the agent's own for `agent`; undefined for an id that is not known. */
  logFile(id: string): string | undefined;
}
